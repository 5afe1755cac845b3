// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// JobSpec describes a FreeStyle job to create.
type JobSpec struct {
	Name       string // full name; its folders must exist
	Label      string // expression; "" may run anywhere that is not EXCLUSIVE
	Script     string // the shell step
	Concurrent bool
	Params     []ParamSpec
	Quiet      time.Duration // quiet period, 0 unlike Jenkins' default of five seconds
	KeepBuilds int           // build discarder, 0 keeps all
	Disabled   bool
}

var errNoJob = errors.New("no such job")

// CreateFreeStyle creates a job as the API would.
func (j *Jenkins) CreateFreeStyle(spec JobSpec) error {
	return j.CreateJobXML(spec.Name, string(spec.element().render()))
}

// CreateJobXML creates a job of any kind from its document.
func (j *Jenkins) CreateJobXML(fullName, document string) error {
	j.mu.Lock()
	folder, name := j.root, fullName
	if i := strings.LastIndexByte(fullName, '/'); i >= 0 {
		folder, name = j.root.find(fullName[:i]), fullName[i+1:]
	}
	j.mu.Unlock()
	if folder == nil || !folder.container() {
		return fmt.Errorf("create job %q: folder: %w", fullName, errNoJob)
	}
	if _, err := j.createJob(folder, name, []byte(document)); err != nil {
		return fmt.Errorf("create job %q: %w", fullName, err)
	}
	return nil
}

func (s JobSpec) element() *element {
	e := &element{name: string(kindFreeStyle)}
	e.setValue("description", "")
	e.setValue("keepDependencies", "false")
	props := &element{name: "properties"}
	if s.KeepBuilds > 0 {
		strategy := classElement("strategy", "hudson.tasks.LogRotator")
		strategy.setValue("daysToKeep", "-1")
		strategy.setValue("numToKeep", strconv.Itoa(s.KeepBuilds))
		props.children = append(props.children, &element{name: "jenkins.model.BuildDiscarderProperty", children: []*element{strategy}})
	}
	if len(s.Params) > 0 {
		defs := &element{name: "parameterDefinitions"}
		for _, p := range s.Params {
			defs.children = append(defs.children, p.element())
		}
		props.children = append(props.children, &element{name: "hudson.model.ParametersDefinitionProperty", children: []*element{defs}})
	}
	e.children = append(e.children, props, classElement("scm", "hudson.scm.NullSCM"))
	e.setValue("quietPeriod", strconv.Itoa(int(s.Quiet.Seconds())))
	if s.Label != "" {
		e.setValue("assignedNode", s.Label)
	}
	e.setValue("canRoam", strconv.FormatBool(s.Label == ""))
	e.setValue("disabled", strconv.FormatBool(s.Disabled))
	e.children = append(e.children, &element{name: "triggers"})
	e.setValue("concurrentBuild", strconv.FormatBool(s.Concurrent))
	shell := &element{name: "hudson.tasks.Shell"}
	shell.setValue("command", s.Script)
	e.children = append(e.children, &element{name: "builders", children: []*element{shell}}, &element{name: "publishers"}, &element{name: "buildWrappers"})
	return e
}

// Schedule asks for a build as a trigger inside Jenkins does, without quiet period beyond
// the job's own, and returns the id of the new or merged queue item.
func (j *Jenkins) Schedule(jobName string, params map[string]string) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	jb := j.root.find(jobName)
	if jb == nil || !jb.buildable() {
		return 0, fmt.Errorf("schedule %q: %w", jobName, errNoJob)
	}
	var values []param
	for _, d := range jb.conf.params {
		if d.Kind == paramFile {
			continue // has no default
		}
		text, given := params[d.Name]
		if !given {
			text = d.Default
		}
		values = append(values, d.value(text))
	}
	cause := buildCause{class: "hudson.triggers.TimerTrigger$TimerTriggerCause", text: "Started by timer"}
	it, _ := j.scheduleItem(jb, jb.quietPeriod(), values, []buildCause{cause})
	return it.id, nil
}

// BuildState is what a test may ask about a build.
type BuildState struct {
	Number   int
	Agent    string
	Result   string // "" while it has none
	Complete bool
	Started  time.Time
	QueueID  int64
	Console  string
}

// Builds lists a job's builds, oldest first.
func (j *Jenkins) Builds(jobName string) []BuildState {
	j.mu.Lock()
	defer j.mu.Unlock()
	jb := j.root.find(jobName)
	if jb == nil {
		return nil
	}
	var list []BuildState
	for _, b := range jb.builds {
		list = append(list, BuildState{
			Number: b.number, Agent: b.node, Result: b.result, Complete: b.complete, Started: b.started, QueueID: b.queueID, Console: string(b.console.text()),
		})
	}
	return list
}

// QueueLength counts the items that have not left the queue.
func (j *Jenkins) QueueLength() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.queue.size()
}
