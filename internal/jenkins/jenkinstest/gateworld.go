// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"errors"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest/gatemodel"
)

// What follows is the controller as the gate sees it, under the queue lock.

var errReplaced = errors.New("java.io.IOException: the node was replaced meanwhile")

var errDiskFull = errors.New("java.io.IOException: No space left on device")

type gateWorld struct {
	j    *Jenkins
	full bool // no node can be saved
}

func (w gateWorld) Now() time.Time { return w.j.clock(time.Now()) }

func (w gateWorld) Node(name string) gatemodel.Node {
	if n := w.j.fleet.nodes[name]; n != nil && name != "" {
		return &gateNode{j: w.j, n: n, full: w.full}
	}
	return nil
}

func (w gateWorld) Nodes() []gatemodel.Node {
	all := make([]gatemodel.Node, 0, len(w.j.fleet.nodes))
	for _, name := range sortedKeys(w.j.fleet.nodes) {
		if name != "" {
			all = append(all, &gateNode{j: w.j, n: w.j.fleet.nodes[name], full: w.full})
		}
	}
	return all
}

func (w gateWorld) BuiltInTakes(gatemodel.Item) bool {
	return w.j.flyweightFits(w.j.fleet.computers[""], nil)
}

func (w gateWorld) Spills() bool { return w.j.flyweightsSpill() }

func (w gateWorld) Home(it gatemodel.Item) gatemodel.Node {
	label, _ := it.Label.(gateLabel)
	if c := w.j.flyweightHome(it.Job, label.l); c != nil {
		return &gateNode{j: w.j, n: w.j.nodeOf(c), full: w.full}
	}
	return nil
}

func (w gateWorld) Returning() []gatemodel.Item {
	var all []gatemodel.Item
	q := &w.j.queue
	lists := [][]*item{q.waiting, q.blocked, q.flyweight, q.pending}
	for _, g := range q.groups {
		lists = append(lists, g.items)
	}
	for _, list := range lists {
		for _, it := range list {
			if it.continued {
				all = append(all, gateItem(w.j, it.view()))
			}
		}
	}
	return all
}

// Update saves a node that the gate has edited in place.
func (w gateWorld) Update(n gatemodel.Node) error {
	edited, ok := n.(*gateNode)
	if !ok || w.j.fleet.nodes[edited.n.name] != edited.n {
		return errReplaced
	}
	if err := n.Save(); err != nil {
		return err
	}
	w.j.saveInPlace(&node{name: edited.n.name, labels: edited.before}, edited.n)
	return nil
}

func (w gateWorld) ForgetLabel(label string) { w.j.labels.resetAtom(label) }

// gateNode is a node, with the labels it had before it was edited.
type gateNode struct {
	j      *Jenkins
	n      *node
	before []string
	full   bool
}

func (g *gateNode) Name() string        { return g.n.name }
func (g *gateNode) BuiltIn() bool       { return g.n.builtIn() }
func (g *gateNode) Class() string       { return g.n.class }
func (g *gateNode) Exclusive() bool     { return g.n.mode == modeExclusive }
func (g *gateNode) NumExecutors() int   { return g.n.executors }
func (g *gateNode) LabelString() string { return g.n.labelString }

func (g *gateNode) SetLabelString(text string) {
	before := g.n.labelString
	g.before = slices.Clone(g.n.labels)
	g.j.fleet.relabel(g.n, text)
	g.j.noteLabels(g.n.name, before, g.n.labelString, gateName)
}

// Save writes the file, which wakes the queue and corrects no cache.
func (g *gateNode) Save() error {
	if g.full {
		return errDiskFull
	}
	g.j.scheduleMaintenance()
	return nil
}

func (g *gateNode) Computer() gatemodel.Computer {
	if c := g.j.fleet.computers[g.n.name]; c != nil {
		return gateComputer{g.j, c, g.full}
	}
	return nil
}

type gateComputer struct {
	j    *Jenkins
	c    *computer
	full bool
}

func (g gateComputer) ID() uint64   { return g.c.id }
func (g gateComputer) Name() string { return g.c.name }
func (g gateComputer) Online() bool { return !g.j.offline(g.c) }
func (g gateComputer) OneOffs() int { return len(g.c.oneOff) }

func (g gateComputer) Node() gatemodel.Node {
	if n := g.j.nodeOf(g.c); n != nil {
		return &gateNode{j: g.j, n: n, full: g.full}
	}
	return nil
}

func (g gateComputer) Channel() uint64 {
	if g.c.link == nil {
		return 0
	}
	return g.c.channel
}

func (g gateComputer) Executors() []gatemodel.Executor {
	all := make([]gatemodel.Executor, 0, len(g.c.executors))
	for _, e := range g.c.executors {
		all = append(all, gatemodel.Executor{ID: e.id, Idle: e.idle()})
	}
	return all
}

// gateItem is an item of the queue.
func gateItem(j *Jenkins, v ItemView) gatemodel.Item {
	it := gatemodel.Item{ID: v.ID, Task: v.Task, Flyweight: v.Flyweight, Continued: v.Continued}
	if !v.Block {
		it.Job = v.Job
	}
	if attempt, ok := v.Params["PITCREW_ATTEMPT"]; ok {
		it.Attempt = &attempt
	}
	if v.Label != "" {
		it.Label = gateLabel{j, j.labels.lookup(v.Label)}
	}
	return it
}

type gateLabel struct {
	j *Jenkins
	l *label
}

func (l gateLabel) Matches(n gatemodel.Node) bool {
	g, ok := n.(*gateNode)
	return ok && l.l.expr.Matches(func(label string) bool { return l.j.carries(g.n, label) })
}

func (l gateLabel) Contains(n gatemodel.Node) bool {
	g, ok := n.(*gateNode)
	return ok && l.j.labels.contains(l.l, g.n)
}
