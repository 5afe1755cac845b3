// SPDX-License-Identifier: Apache-2.0

package jenkinstest

// rootJob is /job/<name>/...
func (c *call) rootJob() { c.childJob(c.j.root) }

// childJob resolves the next segment among a folder's children. A job that may only be
// discovered is 403, an invisible one 404.
func (c *call) childJob(folder *job) {
	name := c.next()
	c.j.mu.Lock()
	jb := folder.child(name)
	c.j.mu.Unlock()
	switch {
	case jb == nil || !c.holds(JobDiscover, jb):
		c.notFound()
	case !c.allowedOn(JobRead, jb):
	default:
		c.jobPage(jb)
	}
}

// jobPage is one job or folder and what lies below it.
func (c *call) jobPage(jb *job) {
	switch {
	case c.isAPI():
		c.api(jobClasses[jb.kind], func(o *object) { c.exportJob(o, jb) })
	case len(c.path) == 0:
		c.slashPage(jb.fullDisplayName(), jb.path())
	case c.path[0] == "job" && jb.container():
		c.next()
		c.childJob(jb)
	case c.path[0] == "createItem" && jb.container():
		c.next()
		c.createItem(jb)
	case len(c.path) == 1 && jobPages[c.path[0]] != nil:
		jobPages[c.path[0]](c, jb)
	case !jb.container():
		c.buildPage(jb)
	default:
		c.notFound()
	}
}

var jobPages = map[string]func(*call, *job){
	"config.xml": (*call).jobConfig, "doDelete": (*call).deleteJob, "disable": (*call).disableJob, "enable": (*call).enableJob,
	"build": (*call).buildJob, "buildWithParameters": (*call).buildWithParameters, "doRename": (*call).renameJob, "confirmRename": (*call).renameJob,
	"rssAll": (*call).jobFeed, "rssLatest": (*call).jobFeed,
}

// exportFields of a job or folder.
func (c *call) exportJob(o *object, jb *job) {
	o.List("actions", 1, false, func() int { return 0 }, nil)
	o.Str("description", func() string { return jb.conf.description })
	o.Str("displayName", func() string { return jb.name })
	o.Str("fullDisplayName", jb.fullDisplayName)
	o.Str("fullName", jb.fullName)
	o.str("name", 3, func() string { return jb.name })
	o.str("url", 3, func() string { return o.w.base + jb.path() })
	if jb.container() {
		c.exportJobs(o, jb)
		return
	}
	c.exportBuildable(o, jb)
}

func (c *call) exportBuildable(o *object, jb *job) {
	o.Bool("buildable", jb.buildable)
	exportBuilds(o, "builds", 1, jb, newestBuilds)
	exportBuilds(o, "allBuilds", -2, jb, len(jb.builds))
	o.str("color", 2, jb.color)
	o.Obj("firstBuild", 1, false, func() (string, func(*object)) {
		if len(jb.builds) == 0 {
			return "", nil
		}
		return c.buildRef(jb.builds[0])
	})
	o.Bool("inQueue", func() bool { return len(c.j.queue.of(jb)) > 0 })
	o.Bool("keepDependencies", func() bool { return false })
	for _, ref := range buildRefs {
		o.Obj(ref.name, 1, false, func() (string, func(*object)) { return c.buildRef(jb.last(ref.ok)) })
	}
	o.Int("nextBuildNumber", func() int64 { return int64(jb.next) })
	o.List("property", 1, false, func() int { return min(1, len(jb.conf.params)) }, func(_ int, w *exportWriter, p pruner) {
		c.exportParamDefs(w, p, jb)
	})
	o.Obj("queueItem", 1, false, func() (string, func(*object)) {
		items := c.j.queue.of(jb)
		if len(items) == 0 {
			return "", nil
		}
		return itemClasses[items[0].stage], func(in *object) { c.j.exportItem(in, items[0]) }
	})
	o.Bool("concurrentBuild", jb.concurrent)
	o.Bool("disabled", func() bool { return jb.conf.disabled })
	if jb.kind != kindPipeline {
		o.OptStr("labelExpression", jb.labelExpression)
	}
}

// buildRefs are the permalinks of a job.
var buildRefs = []struct {
	name string
	ok   func(*build) bool
}{
	{"lastBuild", func(*build) bool { return true }},
	{"lastCompletedBuild", func(b *build) bool { return !b.building }},
	{"lastFailedBuild", func(b *build) bool { return !b.building && b.result == resultFailure }},
	{"lastStableBuild", func(b *build) bool { return !b.building && b.result == resultSuccess }},
	{"lastSuccessfulBuild", func(b *build) bool {
		return !b.building && (b.result == resultSuccess || b.result == resultUnstable)
	}},
	{"lastUnstableBuild", func(b *build) bool { return !b.building && b.result == resultUnstable }},
	{"lastUnsuccessfulBuild", func(b *build) bool { return !b.building && b.result != resultSuccess }},
}

func (c *call) buildRef(b *build) (string, func(*object)) {
	if b == nil {
		return "", nil
	}
	return b.executableClass(), func(o *object) { b.exportExecutable(o) }
}

// newestBuilds is how many builds a job lists.
const newestBuilds = 100

// exportBuilds lists up to limit builds, newest first.
func exportBuilds(o *object, name string, visibility int, jb *job, limit int) {
	var list []*build
	if _, shown := o.p.property(name, visibility); shown {
		list = jb.newest(limit)
	}
	o.List(name, visibility, false, func() int { return len(list) }, func(i int, w *exportWriter, p pruner) {
		in := w.begin(p, list[i].executableClass())
		list[i].exportExecutable(in)
		in.end()
	})
}

// newest returns up to n builds, newest first.
func (jb *job) newest(n int) []*build {
	list := make([]*build, 0, min(n, len(jb.builds)))
	for i := len(jb.builds) - 1; i >= 0 && len(list) < n; i-- {
		list = append(list, jb.builds[i])
	}
	return list
}

func (c *call) exportParamDefs(w *exportWriter, p pruner, jb *job) {
	o := w.begin(p, "hudson.model.ParametersDefinitionProperty")
	o.List("parameterDefinitions", 1, false, func() int { return len(jb.conf.params) }, func(i int, w *exportWriter, p pruner) {
		d := jb.conf.params[i]
		in := w.begin(p, corePrefix+d.Kind)
		in.Str("name", func() string { return d.Name })
		in.Str("type", func() string { return d.Kind })
		in.end()
	})
	o.end()
}

// exportJobs lists the children that the caller may read.
func (c *call) exportJobs(o *object, folder *job) {
	var list []*job
	if _, shown := o.p.property("jobs", 1); shown {
		for _, k := range folder.sortedChildren() {
			if c.who.canJob(JobRead, k) {
				list = append(list, k)
			}
		}
	}
	o.List("jobs", 1, false, func() int { return len(list) }, func(i int, w *exportWriter, p pruner) {
		in := w.begin(p, jobClasses[list[i].kind])
		c.exportJob(in, list[i])
		in.end()
	})
}

// color is the ball of the job.
func (jb *job) color() string {
	if jb.container() {
		return ""
	}
	color := "notbuilt"
	if b := jb.last(func(b *build) bool { return !b.building }); b != nil {
		color = map[string]string{resultSuccess: "blue", resultUnstable: "yellow", resultFailure: "red", resultAborted: "aborted", resultNotBuilt: "notbuilt"}[b.result]
	}
	switch {
	case jb.conf.disabled:
		return "disabled"
	case jb.running > 0:
		return color + "_anime"
	default:
		return color
	}
}
