// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// kind is the type of a job, by the root element of its document.
type kind string

const (
	kindFreeStyle kind = "project"
	kindMatrix    kind = "matrix-project"
	kindPipeline  kind = "flow-definition"
	kindFolder    kind = "com.cloudbees.hudson.plugins.folder.Folder"
)

// Classes of jobs and of their builds as the API names them.
var (
	jobClasses = map[kind]string{
		kindFreeStyle: "hudson.model.FreeStyleProject", kindMatrix: "hudson.matrix.MatrixProject",
		kindPipeline: "org.jenkinsci.plugins.workflow.job.WorkflowJob", kindFolder: string(kindFolder), "": "hudson.model.Hudson",
	}
	buildClasses = map[kind]string{
		kindFreeStyle: "hudson.model.FreeStyleBuild", kindMatrix: "hudson.matrix.MatrixBuild",
		kindPipeline: "org.jenkinsci.plugins.workflow.job.WorkflowRun",
	}
)

// job is an item of the tree: a job that can be built, or a folder with children.
type job struct {
	name     string
	parent   *job // nil for the root
	kind     kind // "" for the root
	doc      *element
	posted   []byte // what doc was read from; nil once Jenkins itself has saved the job
	rendered []byte // what config.xml answers; nil until asked for
	conf     jobConf
	children map[string]*job // by lower-case name; folders and the root only

	next    int      // number of the next build
	builds  []*build // ascending
	running int
	saved   bool // false for a copy that was never saved
}

// jobConf is what the server reads out of a job's document.
type jobConf struct {
	description  string
	disabled     bool
	concurrent   bool
	canRoam      bool
	assignedNode string
	quiet        *time.Duration
	steps        []stepConf
	params       []ParamSpec
	keepBuilds   int // 0 keeps all
	keepDays     int
	token        string
	script       string // Pipeline
}

// stepConf is one builder.
type stepConf struct {
	command  string
	unstable int // exit status that makes the build unstable, 0 for none
}

var errJobClass = errors.New("no such job type")

// jobFromXML loads a job's document.
func (j *Jenkins) jobFromXML(name string, data []byte) (*job, error) {
	root, err := parseXML(data)
	if err != nil {
		return nil, err
	}
	k := kind(root.name)
	if !j.knows(k) {
		return nil, errJobClass
	}
	jb := &job{name: name, kind: k, next: 1, saved: true}
	if k == kindFolder {
		jb.children = map[string]*job{}
	}
	jb.load(root, j.plugin(PluginNodeParameter))
	jb.posted = data
	return jb, nil
}

// knows reports whether the job type's plugin is installed.
func (j *Jenkins) knows(k kind) bool {
	switch k {
	case kindFreeStyle:
		return true
	case kindMatrix:
		return j.plugin(PluginMatrix)
	case kindPipeline:
		return j.plugin(PluginPipeline)
	case kindFolder:
		return j.plugin(PluginFolder)
	default:
		return false
	}
}

func (j *Jenkins) plugin(name string) bool { return slices.Contains(j.opts.Plugins, name) }

// load replaces the job's configuration; running builds keep what they started with.
func (jb *job) load(doc *element, nodeParams bool) {
	jb.doc, jb.rendered = doc, nil
	c := jobConf{
		description: doc.value("description"), disabled: doc.boolValue("disabled"),
		concurrent: doc.boolValue("concurrentBuild"), canRoam: doc.boolValue("canRoam"),
		assignedNode: strings.TrimSpace(doc.value("assignedNode")),
		token:        doc.value("authToken"), script: doc.path("definition").value("script"),
	}
	if q := doc.child("quietPeriod"); q != nil {
		d := time.Duration(doc.intValue("quietPeriod", 0)) * time.Second
		c.quiet = &d
	}
	props := doc.child("properties")
	c.params = paramsFromXML(props.path("hudson.model.ParametersDefinitionProperty", "parameterDefinitions"), nodeParams)
	rotator := props.path("jenkins.model.BuildDiscarderProperty", "strategy")
	if rotator == nil {
		rotator = doc.child("logRotator")
	}
	if rotator != nil {
		c.keepBuilds, c.keepDays = max(0, rotator.intValue("numToKeep", -1)), max(0, rotator.intValue("daysToKeep", -1))
	}
	if b := doc.child("builders"); b != nil {
		for _, e := range b.children {
			c.steps = append(c.steps, stepConf{command: e.value("command"), unstable: e.intValue("unstableReturn", 0)})
		}
	}
	jb.conf = c
}

func (jb *job) document() []byte {
	switch {
	case jb.rendered != nil:
	case jb.posted != nil:
		jb.rendered = stored(jb.posted)
	default:
		jb.rendered = jb.doc.append([]byte(filePrologue), 0)
	}
	return jb.rendered
}

// setField changes one field in place and saves the job, as disabling does.
func (jb *job) setField(name, text string) {
	jb.doc.setValue(name, text)
	sealSecrets(jb.doc)
	jb.rendered, jb.posted = nil, nil
}

func (jb *job) fullName() string {
	if jb.parent == nil || jb.parent.parent == nil {
		return jb.name
	}
	return jb.parent.fullName() + "/" + jb.name
}

func (jb *job) fullDisplayName() string { return strings.ReplaceAll(jb.fullName(), "/", " » ") }

// path is the job's URL below the root, with a slash at its end.
func (jb *job) path() string {
	if jb.parent == nil {
		return ""
	}
	return jb.parent.path() + "job/" + url.PathEscape(jb.name) + "/"
}

func (jb *job) container() bool { return jb.children != nil }

// child looks a name up without regard to case.
func (jb *job) child(name string) *job { return jb.children[strings.ToLower(name)] }

func (jb *job) add(c *job) {
	c.parent = jb
	jb.children[strings.ToLower(c.name)] = c
}

// sortedChildren lists the children by name, without regard to case.
func (jb *job) sortedChildren() []*job {
	list := make([]*job, 0, len(jb.children))
	for _, key := range slices.Sorted(maps.Keys(jb.children)) {
		list = append(list, jb.children[key])
	}
	return list
}

// find follows a full name.
func (jb *job) find(fullName string) *job {
	at := jb
	for part := range strings.SplitSeq(fullName, "/") {
		if at = at.child(part); at == nil {
			return nil
		}
	}
	return at
}

// The job as a task of the queue.

func (jb *job) taskJob() *job        { return jb }
func (jb *job) taskClass() string    { return jobClasses[jb.kind] }
func (jb *job) taskName() string     { return jb.name }
func (jb *job) taskFullName() string { return jb.fullDisplayName() }
func (jb *job) flyweight() bool      { return jb.kind == kindPipeline || jb.kind == kindMatrix }

func (jb *job) concurrent() bool { return jb.conf.concurrent || jb.kind == kindPipeline }

// assignedLabel: canRoam=false without an assigned node ties a job to the built-in
// node (hudson.model.AbstractProject#getAssignedLabel).
func (jb *job) assignedLabel() string {
	switch {
	case jb.kind == kindPipeline || jb.conf.canRoam:
		return ""
	case jb.conf.assignedNode == "":
		return builtInLabel
	default:
		return jb.conf.assignedNode
	}
}

// labelExpression is the exported property: null when the job may roam, the text as
// written if it can be parsed, an escaped atom otherwise.
func (jb *job) labelExpression() (string, bool) {
	if jb.kind == kindPipeline || jb.conf.canRoam || jb.conf.assignedNode == "" {
		return "", false
	}
	if _, err := labelexpr.Parse(jb.conf.assignedNode); err != nil {
		return labelexpr.Atom(jb.conf.assignedNode).String(), true
	}
	return jb.conf.assignedNode, true
}

func (jb *job) blockage(l locale) string {
	if jb.concurrent() || jb.running == 0 {
		return ""
	}
	for _, b := range slices.Backward(jb.builds) {
		if b.inProgress() {
			return l.buildInProgress(strconv.Itoa(b.number), " (ETA: N/A)")
		}
	}
	return ""
}

func (jb *job) buildable() bool { return !jb.container() && !jb.conf.disabled && jb.saved }

// build returns the build of that number, or nil.
func (jb *job) build(number int) *build {
	i, found := slices.BinarySearchFunc(jb.builds, number, func(b *build, n int) int { return b.number - n })
	if !found {
		return nil
	}
	return jb.builds[i]
}

// last returns the newest build that satisfies ok, or nil.
func (jb *job) last(ok func(*build) bool) *build {
	for _, b := range slices.Backward(jb.builds) {
		if ok(b) {
			return b
		}
	}
	return nil
}
