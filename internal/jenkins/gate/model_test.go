// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest/gatemodel"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// world is testdata/harness.groovy once more: the same commands and the same stubs, around the gate's model in Go.
type world struct {
	nodes    map[string]*stubNode
	computer map[string]*stubComputer
	builtIn  *stubComputer
	spills   bool                       // of flyweights without a label
	refuses  bool                       // the built-in node
	cache    map[string]map[string]bool // by label: the nodes that Jenkins believes have it
	items    map[int64]gatemodel.Item
	queued   []int64
	running  map[string]*stubExecutor
	lastItem int64
	lastID   uint64
	sessions int
	updates  int
	resets   map[string]int
	ledger   *gatemodel.Ledger
	gate     *gatemodel.Gate
	lock     sync.Mutex
}

func newWorld() *world { return &world{} }

// order is a command; see the harness for what each needs.
type order struct {
	Do, Name, Labels, Task, Kind, What, How string
	Verb, Request, Session, Since, Wait     string
	Executors, Item                         int64
	Times                                   int
	Label, Attempt                          *string
	Build, To                               string
	As                                      *[]string

	Normal, Other, Fresh, Quiet, Offline, Flyweight, Late, Problem, Console, Loose, Refuses bool
}

// send answers one command.
func (w *world) send(line []byte) (answer []byte, err error) {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			answer, err = json.Marshal(map[string]any{"failed": fmt.Sprint(r)})
		}
	}()
	return json.Marshal(map[string]any{"ok": w.do(o)})
}

func (w *world) do(o order) any {
	switch o.Do {
	case "boot":
		return w.boot()
	case "register":
		return w.register(o.Console)
	case "node":
		w.node(o)
	case "remove":
		delete(w.nodes, o.Name)
		delete(w.computer, o.Name)
		clear(w.cache)
		w.gate.NodeDeleted(o.Name)
	case "rename":
		old := w.nodes[o.Name]
		delete(w.nodes, o.Name)
		delete(w.computer, o.Name)
		c := &stubComputer{w: w, id: w.next(), name: o.To}
		c.resize(old.executors)
		w.nodes[o.To], w.computer[o.To] = &stubNode{w: w, name: o.To, executors: old.executors, exclusive: old.exclusive, labels: o.Labels, class: old.class, broken: map[string]string{}}, c
		clear(w.cache)
		w.gate.NodeUpdated(old, w.nodes[o.To], true)
		w.connect(order{Name: o.To})
	case "connect":
		w.connect(o)
	case "disconnect":
		w.at(o.Name).channel = 0
		if !o.Quiet {
			w.gate.Offline(o.Name)
		}
	case "relabel":
		w.nodes[o.Name].SetLabelString(o.Labels)
	case "believes":
		return stubLabel{w, *o.Label}.Contains(w.nodes[o.Name])
	case "builtIn":
		w.spills, w.refuses = o.Executors == 0 || !o.Normal, o.Refuses
	case "breaks":
		if o.What == "channel" {
			w.at(o.Name).broken = o.How != ""
		} else {
			w.nodes[o.Name].broken[o.What] = o.How
		}
	case "view":
		n := w.nodes[o.Name]
		return map[string]any{"labels": n.LabelString(), "saves": n.saves, "updates": w.updates, "resets": []int{w.resets["cleanable"], w.resets["dirty"], w.resets["clean"]}}
	case "queue":
		return w.queue(o)
	case "take":
		n := gatemodel.Node(stubBuiltIn{w})
		if o.Name != "" {
			n = w.nodes[o.Name]
		}
		return orNull(w.gate.CanTake(n, w.items[o.Item]))
	case "may":
		return orNull(w.gate.CanRun(w.items[o.Item]))
	case "start", "assign":
		return w.start(o)
	case "begun":
		x := w.running[key(o)]
		if x == nil {
			return "no executor"
		}
		w.gate.Begun(x.owner.name, o.Item, o.Build)
	case "again":
		w.left(o.Item, w.running[key(o)])
	case "cancel":
		w.queued = slices.DeleteFunc(w.queued, func(id int64) bool { return id == o.Item })
	case "end":
		x := w.ran(o)
		if !o.Late {
			x.owner.replace(x)
		}
		w.gate.Ended(x.owner.name)
	case "giveBack":
		x := w.ran(o)
		x.owner.replace(x)
	case "call":
		return w.answer(w.gate.Do(o.Verb, permitted(o.As), o.Request))
	case "status":
		return w.answer(w.gate.Status(permitted(o.As), "http://ci.test/"))
	case "events":
		return w.answer(w.gate.Events(context.Background(), &w.lock, permitted(o.As), o.Session, o.Since, o.Wait))
	default:
		panic("no command " + o.Do)
	}
	return nil
}

func (w *world) boot() string {
	w.nodes, w.computer, w.running = map[string]*stubNode{}, map[string]*stubComputer{}, map[string]*stubExecutor{}
	w.spills, w.refuses, w.cache = false, false, map[string]map[string]bool{}
	w.items, w.lastItem, w.queued, w.resets, w.updates = map[int64]gatemodel.Item{}, 0, nil, map[string]int{}, 0
	w.builtIn = &stubComputer{w: w, id: w.next(), channel: w.next()}
	w.sessions++
	w.ledger, w.gate = gatemodel.NewLedger(fmt.Sprint("session ", w.sessions)), nil
	return w.register(false)
}

func (w *world) next() uint64 {
	w.lastID++
	return w.lastID
}

func (w *world) register(console bool) string {
	another := w.gate != nil
	w.gate = gatemodel.New(gatemodel.Config{
		Cleanable: "cleanable", Dirty: "dirty", Clean: "clean", Version: "test",
		Hook: map[bool]string{true: "console", false: "init script"}[console],
	}, w.ledger, w)
	return w.gate.Registered(another)
}

func (w *world) at(name string) *stubComputer {
	if name == "" {
		return w.builtIn
	}
	return w.computer[name]
}

func (w *world) node(o order) {
	count := int(max(1, o.Executors))
	n := &stubNode{w: w, name: o.Name, executors: count, exclusive: !o.Normal, labels: o.Labels, class: map[bool]string{true: "OtherAgent", false: "Agent"}[o.Other], broken: map[string]string{}}
	old, c := w.nodes[o.Name], w.computer[o.Name]
	w.nodes[o.Name] = n
	if c == nil || o.Fresh || old.class != n.class {
		c = &stubComputer{w: w, id: w.next(), name: o.Name}
		c.resize(count)
	}
	w.computer[o.Name] = c
	clear(w.cache)
	if len(c.executors) != count {
		c.executors = slices.DeleteFunc(c.executors, func(x *stubExecutor) bool { return !x.used })
		c.resize(count)
	}
	if !o.Offline && c.Channel() == 0 {
		w.connect(o)
	}
	if old != nil && !o.Quiet {
		w.gate.NodeUpdated(old, n, true)
	}
}

func (w *world) connect(o order) {
	w.at(o.Name).channel = w.next()
	if !o.Quiet {
		w.gate.Online(o.Name)
	}
}

func (w *world) queue(o order) int64 {
	w.lastItem++
	it := gatemodel.Item{ID: w.lastItem, Task: o.Task, Flyweight: o.Kind == "flyweight", Continued: o.Kind == "returning", Attempt: o.Attempt}
	if o.Kind == "job" || o.Kind == "flyweight" {
		it.Job = o.Task
	}
	if o.Label != nil {
		it.Label = stubLabel{w, *o.Label}
	}
	w.items[it.ID] = it
	if !o.Loose {
		w.queued = append(w.queued, it.ID)
	}
	return it.ID
}

func key(o order) string { return fmt.Sprint(o.Name, " ", o.Item) }

func (w *world) start(o order) any {
	c := w.at(o.Name)
	x := &stubExecutor{owner: c, id: w.next()}
	if o.Flyweight && o.Do == "start" {
		c.oneOff = append(c.oneOff, x)
	} else {
		i := slices.IndexFunc(c.executors, func(x *stubExecutor) bool { return !x.used })
		if i < 0 {
			return "no executor"
		}
		x = c.executors[i]
	}
	x.used = true
	w.running[key(o)] = x
	if o.Do == "start" {
		w.left(o.Item, x)
	}
	return nil
}

func (w *world) left(item int64, x *stubExecutor) {
	w.queued = slices.DeleteFunc(w.queued, func(id int64) bool { return id == item })
	if x != nil {
		w.gate.Left(w.items[item], x.owner, x.id)
	}
}

func (w *world) ran(o order) *stubExecutor {
	x := w.running[key(o)]
	delete(w.running, key(o))
	return x
}

func (w *world) answer(a gatemodel.Answer) map[string]any {
	if a.Denied != "" {
		return map[string]any{"code": a.Code, "body": "lacks " + string(a.Denied)}
	}
	return map[string]any{"code": a.Code, "type": gatemodel.ContentType, "length": len(a.Body), "body": a.Body}
}

func orNull(cause string) any {
	if cause == "" {
		return nil
	}
	return cause
}

// Node and the rest of its methods make a world a [gatemodel.Jenkins].
func (w *world) Node(name string) gatemodel.Node {
	if n := w.nodes[name]; n != nil {
		return n
	}
	return nil
}

func (w *world) Nodes() []gatemodel.Node {
	var all []gatemodel.Node
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		all = append(all, w.nodes[name])
	}
	return all
}

func (w *world) BuiltInTakes(gatemodel.Item) bool { return w.builtIn.Online() && !w.refuses }

// Home goes around a ring on which each node stands at its own name.
func (w *world) Home(it gatemodel.Item) gatemodel.Node {
	if l, ok := it.Label.(stubLabel); ok && l.name == "built-in" { // its own label, whoever else has it
		if w.refuses {
			return nil
		}
		return stubBuiltIn{w}
	}
	nodes := w.Nodes()
	at := slices.IndexFunc(nodes, func(n gatemodel.Node) bool { return n.Name() >= it.Task })
	at = max(at, 0)
	for _, n := range slices.Concat(nodes[at:], nodes[:at]) {
		c := n.Computer()
		switch {
		case c == nil || !c.Online():
		case it.Label == nil && n.Exclusive() && (!w.spills || !it.Flyweight):
		case it.Label == nil || it.Label.Contains(n):
			return n
		}
	}
	return nil
}

func (w *world) Spills() bool { return w.spills }

func (w *world) Returning() []gatemodel.Item {
	var all []gatemodel.Item
	for _, id := range w.queued {
		if it := w.items[id]; it.Continued {
			all = append(all, it)
		}
	}
	return all
}

func (w *world) Update(n gatemodel.Node) error {
	if w.nodes[n.Name()] != n {
		return errors.New("java.io.IOException: the node was replaced meanwhile")
	}
	w.updates++
	clear(w.cache)
	if err := n.Save(); err != nil {
		return err
	}
	w.gate.NodeUpdated(n, n, false)
	return nil
}

func (w *world) ForgetLabel(label string) {
	w.resets[label]++
	delete(w.cache, label)
}

func (w *world) Now() time.Time { return time.Now() }

// permitted is who may do what is listed, everything if nothing is.
func permitted(as *[]string) gatemodel.Caller {
	if as == nil {
		return somebody{all: true}
	}
	return somebody{list: *as}
}

type somebody struct {
	all  bool
	list []string
}

func (s somebody) May(p gatemodel.Permission) bool {
	return s.all || slices.Contains(s.list, string(p))
}

func (s somebody) MayOn(n gatemodel.Node, p gatemodel.Permission) bool {
	return s.May(p) || slices.Contains(s.list, string(p)+" on "+n.Name())
}

type stubNode struct {
	w                   *world
	name, labels, class string
	executors, saves    int
	exclusive           bool
	broken              map[string]string
}

func (n *stubNode) Name() string      { return n.name }
func (n *stubNode) BuiltIn() bool     { return false }
func (n *stubNode) Class() string     { return n.class }
func (n *stubNode) Exclusive() bool   { return n.exclusive }
func (n *stubNode) NumExecutors() int { return n.executors }

func (n *stubNode) LabelString() string {
	switch n.broken["labels"] {
	case "":
	case "error":
		panic("java.lang.StackOverflowError: labels")
	default:
		panic("java.lang.IllegalStateException: labels")
	}
	return n.labels
}

func (n *stubNode) SetLabelString(text string) {
	n.labels = strings.TrimFunc(text, func(r rune) bool { return r <= ' ' })
}

func (n *stubNode) Save() error {
	if n.broken["save"] != "" {
		return errors.New("java.io.IOException: No space left on device")
	}
	n.saves++
	return nil
}

func (n *stubNode) Computer() gatemodel.Computer {
	if c := n.w.computer[n.name]; c != nil && n.w.nodes[n.name] == n {
		return c
	}
	return nil
}

// stubBuiltIn is the built-in node: whatever stands in its labels, it is never the gate's.
type stubBuiltIn struct{ w *world }

func (stubBuiltIn) Name() string                   { return "" }
func (stubBuiltIn) BuiltIn() bool                  { return true }
func (stubBuiltIn) Class() string                  { return "Jenkins" }
func (stubBuiltIn) Exclusive() bool                { return false }
func (stubBuiltIn) NumExecutors() int              { return 0 }
func (stubBuiltIn) LabelString() string            { return "cleanable clean" }
func (stubBuiltIn) SetLabelString(string)          { panic("the labels of the built-in node") }
func (stubBuiltIn) Save() error                    { return nil }
func (n stubBuiltIn) Computer() gatemodel.Computer { return n.w.builtIn }

type stubComputer struct {
	w                 *world
	id, channel       uint64
	name              string
	executors, oneOff []*stubExecutor
	broken            bool
}

func (c *stubComputer) ID() uint64           { return c.id }
func (c *stubComputer) Name() string         { return c.name }
func (c *stubComputer) Node() gatemodel.Node { return c.w.Node(c.name) }
func (c *stubComputer) Online() bool         { return c.Channel() != 0 }
func (c *stubComputer) OneOffs() int         { return len(c.oneOff) }

func (c *stubComputer) Channel() uint64 {
	if c.broken {
		panic("java.lang.IllegalStateException: channel")
	}
	return c.channel
}

func (c *stubComputer) Executors() []gatemodel.Executor {
	var all []gatemodel.Executor
	for _, x := range c.executors {
		all = append(all, gatemodel.Executor{ID: x.id, Idle: !x.used})
	}
	return all
}

func (c *stubComputer) resize(count int) {
	for len(c.executors) < count {
		c.executors = append(c.executors, &stubExecutor{owner: c, id: c.w.next()})
	}
}

// replace puts a new executor into the place of one whose work has ended: at the end of the list.
func (c *stubComputer) replace(x *stubExecutor) {
	same := func(y *stubExecutor) bool { return x == y }
	if slices.ContainsFunc(c.oneOff, same) {
		c.oneOff = slices.DeleteFunc(c.oneOff, same)
	} else if slices.ContainsFunc(c.executors, same) {
		c.executors = append(slices.DeleteFunc(c.executors, same), &stubExecutor{owner: c, id: c.w.next()})
	}
}

type stubExecutor struct {
	owner *stubComputer
	id    uint64
	used  bool
}

// stubLabel is one label, which every node has whose name it is.
type stubLabel struct {
	w    *world
	name string
}

func (l stubLabel) Matches(n gatemodel.Node) bool {
	return slices.Contains(append(labelexpr.Tokens(n.LabelString()), n.Name()), l.name) // what breaks the labels breaks this
}

func (l stubLabel) Contains(n gatemodel.Node) bool {
	if l.w.cache[l.name] == nil {
		found := map[string]bool{}
		for _, n := range l.w.Nodes() {
			if l.Matches(n) {
				found[n.Name()] = true
			}
		}
		l.w.cache[l.name] = found
	}
	return l.w.cache[l.name][n.Name()]
}
