// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
	"time"
)

// computerSet is /computer/ and what lies below.
func (c *call) computerSet() {
	switch {
	case c.isAPI():
		c.api("hudson.model.ComputerSet", c.exportSet)
	case len(c.path) == 0:
		c.slashPage("Nodes", "computer/")
	default:
		c.computerSetChild()
	}
}

// slashPage serves a page, or redirects to its URL with a slash.
func (c *call) slashPage(title, path string) {
	if !c.slash {
		c.redirect(path)
		return
	}
	c.page(title)
}

func (c *call) exportSet(o *object) {
	j := c.j
	busy := func() (busy, total int64) {
		for _, x := range j.fleet.sorted {
			if j.offline(x) {
				continue
			}
			total += int64(len(x.executors))
			for _, e := range x.executors {
				if !e.idle() {
					busy++
				}
			}
		}
		return busy, total
	}
	o.Int("busyExecutors", func() int64 { b, _ := busy(); return b })
	o.List("computer", 1, true, func() int { return len(j.fleet.sorted) }, func(i int, w *exportWriter, p pruner) {
		in := w.begin(p, j.fleet.sorted[i].class())
		j.exportComputer(in, j.fleet.sorted[i])
		in.end()
	})
	o.Str("displayName", func() string { return c.lang.pick("Nodes", "Knoten") })
	o.Int("totalExecutors", func() int64 { _, t := busy(); return t })
}

func (c *computer) class() string {
	if c.builtIn() {
		return "hudson.model.Hudson$MasterComputer"
	}
	return "hudson.slaves.SlaveComputer"
}

// exportComputer writes one computer. It panics, as a getter that throws does, if a
// Labels hook fails or the test asked for it.
func (j *Jenkins) exportComputer(o *object, c *computer) {
	if c.omit {
		panic("export of " + c.name + " fails")
	}
	n := j.nodeOf(c)
	o.List("actions", 1, false, func() int { return 0 }, nil)
	j.exportLabels(o, n)
	o.Str("description", func() string {
		if n == nil {
			return ""
		}
		return n.description
	})
	o.Str("displayName", func() string { return c.displayName(o.w.lang) })
	o.List("executors", 1, false, func() int { return len(c.executors) }, func(i int, w *exportWriter, p pruner) {
		j.exportExecutor(c.executors[i], w, p)
	})
	o.Str("icon", func() string { return j.icon(c) })
	o.Str("iconClassName", func() string { return j.icon(c) })
	o.Bool("idle", c.idle)
	o.Bool("jnlpAgent", func() bool { return !c.builtIn() && c.cfg.inbound() })
	o.Bool("launchSupported", func() bool { return c.builtIn() || !c.cfg.inbound() })
	o.Obj("loadStatistics", 1, false, func() (string, func(*object)) { return "hudson.model.Label$1", exportLoad })
	o.Bool("manualLaunchAllowed", func() bool { return true })
	o.Obj("monitorData", 1, true, func() (string, func(*object)) { return "", func(m *object) { j.exportMonitors(m, c) } })
	o.Int("numExecutors", func() int64 { return int64(c.cfg.executors) })
	o.Bool("offline", func() bool { return j.offline(c) })
	j.exportCause(o, c)
	o.List("oneOffExecutors", 1, false, func() int { return len(c.oneOff) }, func(i int, w *exportWriter, p pruner) {
		j.exportExecutor(c.oneOff[i], w, p)
	})
	o.Bool("temporarilyOffline", func() bool { return j.temporaryCause(c) != nil })
	if !c.builtIn() {
		o.OptStr("absoluteRemotePath", func() (string, bool) {
			return c.cfg.remoteFS, !j.offline(c) && o.w.who.can(AgentConnect)
		})
	}
}

func (c *computer) displayName(l locale) string {
	if c.builtIn() {
		return l.pick(builtInDisplay, "Integrierter Knoten")
	}
	return c.name
}

// exportLabels: all labels, in no particular order.
func (j *Jenkins) exportLabels(o *object, n *node) {
	if !j.version.since(94) {
		return
	}
	var all []string
	if n != nil {
		if _, shown := o.p.property("assignedLabels", 1); shown {
			all = j.labelsOf(n)
		}
	}
	o.List("assignedLabels", 1, false, func() int { return len(all) }, func(i int, w *exportWriter, p pruner) {
		l := w.begin(p, "")
		l.str("name", 2, func() string { return all[i] })
		l.end()
	})
}

func (j *Jenkins) icon(c *computer) string {
	switch {
	case c.link == nil:
		return "symbol-computer-offline"
	case j.temporaryCause(c) != nil:
		return "symbol-computer-disconnected"
	case c.rejecting:
		return "symbol-computer-not-accepting"
	default:
		return "symbol-computer"
	}
}

func (j *Jenkins) exportCause(o *object, c *computer) {
	cause := j.offlineCauseOf(c)
	o.Obj("offlineCause", 1, false, func() (string, func(*object)) {
		if cause == nil {
			return "", nil
		}
		return cause.class, func(x *object) {
			if cause.described() {
				x.Str("description", func() string { return cause.description(x.w.lang) })
			}
			for _, f := range sortedFields(cause.fields) {
				x.Int(f, func() int64 { return cause.fields[f] })
			}
			x.Int("timestamp", func() int64 { return j.clock(cause.at).UnixMilli() })
		}
	})
	o.Str("offlineCauseReason", func() string {
		if cause == nil {
			return ""
		}
		return cause.reason(o.w.lang)
	})
}

func sortedFields(m map[string]int64) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// exportExecutor: whoever may not read the job sees a busy executor without executable.
func (j *Jenkins) exportExecutor(e *executor, w *exportWriter, p pruner) {
	o := w.begin(p, "")
	o.Obj("currentExecutable", 1, false, func() (string, func(*object)) {
		if e.exec == nil || !w.who.canJob(JobRead, e.exec.executableJob()) {
			return "", nil
		}
		return e.exec.executableClass(), e.exec.exportExecutable
	})
	o.Bool("idle", e.idle)
	o.Bool("likelyStuck", func() bool { return e.stuck() })
	o.Int("number", func() int64 { return int64(e.number) })
	o.Int("progress", func() int64 { return e.progress() })
	o.end()
}

// stuck and progress follow hudson.model.Executor: an executable that runs ten times
// longer than estimated, or a day without estimate, is likely stuck.
func (e *executor) stuck() bool {
	if e.exec == nil {
		return false
	}
	elapsed, estimate := time.Since(e.started), e.exec.executableJob().estimate()
	if estimate >= 0 {
		return estimate*10 < elapsed
	}
	return elapsed > 24*time.Hour
}

func (e *executor) progress() int64 {
	if e.exec == nil {
		return -1
	}
	estimate := e.exec.executableJob().estimate()
	if estimate <= 0 {
		return -1
	}
	return min(99, int64(100*time.Since(e.started)/estimate))
}

func exportLoad(o *object) {
	for _, name := range []string{"availableExecutors", "busyExecutors", "connectingExecutors", "definedExecutors", "idleExecutors", "onlineExecutors", "queueLength", "totalExecutors", "totalQueueLength"} {
		o.Obj(name, 1, false, func() (string, func(*object)) { return "", func(*object) {} })
	}
}

// Monitors whose values tests may set.
const (
	monitorDisk = "hudson.node_monitors.DiskSpaceMonitor"
	monitorTemp = "hudson.node_monitors.TemporarySpaceMonitor"
)

// monitorNames are the node monitors of a plain installation.
var monitorNames = []string{
	"hudson.node_monitors.SwapSpaceMonitor", monitorTemp, monitorDisk,
	"hudson.node_monitors.ArchitectureMonitor", "hudson.node_monitors.ResponseTimeMonitor", "hudson.node_monitors.ClockMonitor",
}

// exportMonitors: nothing without Agent/Connect; any value may be null.
func (j *Jenkins) exportMonitors(o *object, c *computer) {
	if !o.w.who.can(AgentConnect) {
		return
	}
	for _, name := range monitorNames {
		o.Obj(name, 1, false, func() (string, func(*object)) {
			free, measured := c.monitors[name]
			if !measured || c.link == nil {
				return "", nil
			}
			return causeDiskSpace, func(x *object) {
				x.Str("path", func() string { return c.cfg.remoteFS })
				x.Int("size", func() int64 { return free })
				x.Int("threshold", func() int64 { return 1 << 30 })
				x.Int("timestamp", func() int64 { return j.clock(time.Now()).UnixMilli() })
			}
		})
	}
}
