// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import "strings"

// labelPage is /label/<expression>/api/json: the scheduler's cached view.
func (c *call) labelPage() {
	text := c.next()
	if !c.isAPI() || text == "" {
		c.notFound()
		return
	}
	j := c.j
	c.api(labelClass(text), func(o *object) {
		l := j.labels.lookup(text)
		busy, idle := j.labelLoad(l)
		o.Int("busyExecutors", func() int64 { return busy })
		o.Int("idleExecutors", func() int64 { return idle })
		o.str("name", 2, func() string { return l.name })
		nodes := j.labels.sortedSet(l)
		o.List("nodes", 1, false, func() int { return len(nodes) }, func(i int, w *exportWriter, p pruner) {
			j.exportNode(nodes[i], w, p)
		})
		o.Bool("offline", func() bool { return j.labelOffline(l) })
		o.Int("totalExecutors", func() int64 { return busy + idle })
	})
}

func labelClass(text string) string {
	if strings.ContainsAny(text, "&|!(><") {
		return "hudson.model.labels.LabelExpression$And"
	}
	return "hudson.model.labels.LabelAtom"
}

func (j *Jenkins) labelLoad(l *label) (busy, idle int64) {
	for name := range j.labels.set(l) {
		c := j.fleet.computers[name]
		if c == nil || j.offline(c) {
			continue
		}
		for _, e := range c.executors {
			if e.idle() {
				idle++
			} else {
				busy++
			}
		}
	}
	return busy, idle
}

// exportNode writes a node of the cached set; one that is gone meanwhile panics and is
// left out.
func (j *Jenkins) exportNode(name string, w *exportWriter, p pruner) {
	n := j.fleet.nodes[name]
	class := "hudson.slaves.DumbSlave"
	if name == "" {
		class = "hudson.model.Hudson"
	}
	o := w.begin(p, class)
	o.Str("mode", func() string { return n.mode })
	o.Str("nodeDescription", func() string { return n.description })
	o.str("nodeName", 999, func() string { return name })
	o.Int("numExecutors", func() int64 { return int64(n.executors) })
	o.end()
}
