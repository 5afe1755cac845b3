// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// job describes a FreeStyle job that takes one parameter, without which Jenkins merges its builds in the queue.
type job struct {
	name, label string // "" for no label
	param       string
	shell       string
}

var inXML = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (j job) document() string {
	tie := "<canRoam>true</canRoam>"
	if j.label != "" {
		tie = "<assignedNode>" + inXML.Replace(j.label) + "</assignedNode><canRoam>false</canRoam>"
	}
	return "<?xml version='1.1' encoding='UTF-8'?>\n<project><description>live suite of the gate</description><properties>" +
		"<hudson.model.ParametersDefinitionProperty><parameterDefinitions><hudson.model.StringParameterDefinition><name>" + j.param +
		"</name></hudson.model.StringParameterDefinition></parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>" +
		"<scm class=\"hudson.scm.NullSCM\"/>" + tie + "<disabled>false</disabled><triggers/><concurrentBuild>true</concurrentBuild>" +
		"<builders><hudson.tasks.Shell><command>" + inXML.Replace(j.shell) + "</command></hudson.tasks.Shell></builders>" +
		"<publishers/><buildWrappers/></project>\n"
}

// submit queues n builds, by turns of the jobs, from a number on. Those that a restart refuses are not queued.
func (s *suite) submit(ctx context.Context, jobs []string, from, n int) (queued int, err error) {
	ok := make([]bool, n)
	err = together(n, func(i int) error {
		form := url.Values{"N": {fmt.Sprint(from + i)}}
		a, err := s.Send(ctx, testbed.Request{
			Method: http.MethodPost, Path: testbed.JobPath(jobs[(from+i)%len(jobs)]) + "/buildWithParameters?delay=0sec",
			ContentType: "application/x-www-form-urlencoded", Body: form.Encode(),
		})
		if err == nil && a.Status != http.StatusCreated {
			err = fmt.Errorf("queue a build of %s: status %d: %s", jobs[(from+i)%len(jobs)], a.Status, a.Excerpt())
		}
		ok[i] = err == nil
		return err
	})
	for _, was := range ok {
		if was {
			queued++
		}
	}
	return queued, err
}

// idle reports whether none of our builds waits or runs. What leaves the queue is on an executor, so the queue is asked first.
func (s *suite) idle(ctx context.Context) bool {
	var queue struct {
		Items []struct{ Task struct{ Name string } }
	}
	if s.read(ctx, "/queue/api/json?tree=items[task[name]]", &queue) != nil {
		return false
	}
	for _, i := range queue.Items {
		if strings.HasPrefix(i.Task.Name, s.Prefix) {
			return false
		}
	}
	var fleet struct {
		Computer []struct {
			DisplayName string
			Idle        bool
		}
	}
	if s.read(ctx, "/computer/api/json?tree=computer[displayName,idle]", &fleet) != nil {
		return false
	}
	for _, c := range fleet.Computer {
		if strings.HasPrefix(c.DisplayName, s.Prefix) && !c.Idle {
			return false
		}
	}
	return true
}

// drain waits until all work is done: twice, for an item can return to the queue when its agent dies.
func (s *suite) drain(ctx context.Context) error {
	for times := 0; times < 2; {
		if times++; !s.idle(ctx) {
			times = 0
		}
		pause(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("builds still wait or run: %s", s.waiting(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// waiting says what waits in the queue, and why.
func (s *suite) waiting(ctx context.Context) string {
	a, err := s.Send(ctx, testbed.Request{Method: http.MethodGet, Path: "/queue/api/json?tree=items[why,task[name]]{0,5}"})
	if err != nil {
		return err.Error()
	}
	return a.Body
}

// read decodes the answer to a GET.
func (s *suite) read(ctx context.Context, path string, v any) error {
	a, err := s.Send(ctx, testbed.Request{Method: http.MethodGet, Path: path})
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d: %s", path, a.Status, a.Excerpt())
	}
	if err == nil {
		err = json.Unmarshal([]byte(a.Body), v)
	}
	return err
}

// span is how long the builds of a job took altogether, from the begin of the first to the end of the last.
func (s *suite) span(ctx context.Context, t *testing.T, name string) (builds int, took time.Duration) {
	t.Helper()
	var job struct {
		AllBuilds []struct{ Timestamp, Duration int64 }
	}
	if err := s.read(ctx, testbed.JobPath(name)+"/api/json?tree=allBuilds[timestamp,duration]", &job); err != nil {
		t.Fatal(err)
	}
	var first, last int64
	for _, b := range job.AllBuilds {
		if first == 0 || b.Timestamp < first {
			first = b.Timestamp
		}
		last = max(last, b.Timestamp+b.Duration)
	}
	return len(job.AllBuilds), time.Duration(last-first) * time.Millisecond
}
