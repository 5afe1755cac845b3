// SPDX-License-Identifier: Apache-2.0

package jenkinstest

// front is the root page and its API.
func (c *call) front() {
	if !c.isAPI() {
		if len(c.path) > 0 {
			c.notFound()
			return
		}
		c.page("Dashboard [Jenkins]")
		return
	}
	j := c.j
	c.api("hudson.model.Hudson", func(o *object) {
		o.List("assignedLabels", 1, false, func() int { return 1 }, func(_ int, w *exportWriter, p pruner) {
			l := w.begin(p, "")
			l.str("name", 2, func() string { return builtInLabel })
			l.end()
		})
		o.Str("mode", func() string { return j.fleet.nodes[""].mode })
		o.Str("nodeDescription", func() string { return "the Jenkins controller's built-in node" })
		o.Str("nodeName", func() string { return "" })
		o.Int("numExecutors", func() int64 { return int64(j.fleet.nodes[""].executors) })
		o.OptStr("description", func() (string, bool) { return "", false })
		c.exportJobs(o, j.root)
		o.Obj("primaryView", 1, false, func() (string, func(*object)) { return "hudson.model.AllView", c.exportAllView })
		o.OptStr("quietDownReason", func() (string, bool) { return j.life.reason, j.life.reason != "" })
		o.Bool("quietingDown", func() bool { return j.life.quieting })
		o.Int("slaveAgentPort", func() int64 { return -1 })
		o.Str("url", func() string { return o.w.base })
		o.Bool("useCrumbs", func() bool { return !j.doors.security.NoCrumbs })
		o.Bool("useSecurity", j.doors.realm)
		o.List("views", 1, false, func() int { return 1 }, func(_ int, w *exportWriter, p pruner) {
			in := w.begin(p, "hudson.model.AllView")
			c.exportAllView(in)
			in.end()
		})
	})
}

func (c *call) exportAllView(o *object) {
	o.OptStr("description", func() (string, bool) { return "", false })
	if o.p.tree != nil || o.p.level <= 0 {
		c.exportJobs(o, c.j.root)
	}
	o.str("name", 2, func() string { return "all" })
	o.str("url", 2, func() string { return o.w.base })
}

// viewPage knows only the view of all jobs.
func (c *call) viewPage() {
	name := c.next()
	switch {
	case name != "all":
		c.notFound()
	case c.isAPI():
		c.api("hudson.model.AllView", func(o *object) {
			c.exportJobs(o, c.j.root)
			o.str("name", 2, func() string { return "all" })
			o.str("url", 2, func() string { return o.w.base })
		})
	case len(c.path) == 2 && c.path[0] == "job":
		c.rootJob()
	default:
		c.page("All")
	}
}
