// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
)

// Hooks are extension points of the queue, as Go functions. A nil function takes no
// part. All but TaskAccepted run under the queue lock and must not call the Jenkins
// except through the views they are given. A panic in a veto blocks the item; in a
// listener it is swallowed. A restart forgets all registrations (Options.Boot may
// register again); a reload keeps them.
type Hooks struct {
	// Name identifies the registration; a second one of the same name is added
	// beside the first, as happens to scripts that forget to remove the old copy.
	Name string
	// CanRun vetoes an item before any node is known: the reason, or "".
	CanRun func(ItemView) string
	// CanTake vetoes an item on a candidate node; flyweights are never asked for.
	CanTake func(NodeView, ItemView) string
	// OnLeaveBuildable is told that an item is no longer buildable, for whatever
	// reason. It is not fired for flyweights that are placed directly.
	OnLeaveBuildable func(ItemView)
	// OnLeft is told that an item left the queue, before its build exists.
	// The node is the one whose executor runs it; it is zero if the item was cancelled.
	OnLeft func(NodeView, ItemView)
	// TaskAccepted runs on the executor's goroutine, without the lock, before the
	// build's body.
	TaskAccepted func(node string, item ItemView)
	// TaskStarted is told that the build of an item exists, and its address below the root.
	TaskStarted func(node NodeView, item ItemView, build string)
	// TaskCompleted is told that the work of an executor is over; the executor is still
	// there, and not idle. The node is gone if it was deleted meanwhile.
	TaskCompleted func(NodeView, ItemView)
	// OnOnline and OnOffline are told of connections, not of marks.
	OnOnline, OnOffline func(NodeView)
	// OnUpdated is told of a node that was saved; before and after are the same object if
	// it was edited in place. A reload tells nobody.
	OnUpdated func(before, after NodeView)
	// OnDeleted is told of a node that is gone.
	OnDeleted func(NodeView)
	// Labels adds dynamic labels to a node. If it panics, the node is missing from
	// listings.
	Labels func(node string) []string
}

// ItemView is what a hook sees of an item.
type ItemView struct {
	ID        int64
	Class     string // of the task
	Task      string // full display name of the task
	Job       string // full name
	Block     bool   // a Pipeline's node block, which belongs to the job but is not it
	Label     string // assigned label, "" for none
	Params    map[string]string
	Flyweight bool
	Continued bool // a node block returning after a restart
	Cancelled bool
}

// NodeView is what a hook sees of a node; its methods may only be used during the
// call of the hook.
type NodeView struct {
	Name      string
	Class     string   // of the node
	Labels    []string // the node's own, without any cache
	Computer  uint64   // identity of the computer, 0 if there is none
	Executors []uint64 // identities of the regular executors
	OneOffs   []uint64 // identities of the executors of flyweights
	Executor  uint64   // the one that this is about, in OnLeft, TaskStarted and TaskCompleted
	Idle      bool     // no executor has work, one-off executors included
	Online    bool
	Channel   uint64 // identity of the connection, 0 if there is none

	j *Jenkins
	n *node     // nil if it is gone
	c *computer // nil if it has none
}

// SetLabels edits the node's labels in place and updates the node.
func (v NodeView) SetLabels(labelString string) { v.j.editLabels(v.Name, labelString, true) }

// SetOffline marks the node temporarily offline in place.
func (v NodeView) SetOffline(message string) {
	if c := v.j.fleet.computers[v.Name]; c != nil {
		v.j.setTemporaryCause(c, userCause("SYSTEM", message), "hook")
	}
}

// registry holds the registered hooks.
type registry struct{ list []*Hooks }

// Register adds hooks and returns the function that removes them again.
func (j *Jenkins) Register(h Hooks) (remove func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	entry := &h
	j.addHooks(entry)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.removeHooks(entry)
	}
}

func (j *Jenkins) addHooks(h *Hooks) {
	j.hooks.list = append(slices.Clone(j.hooks.list), h)
	j.labels.reset()
	j.scheduleMaintenance()
}

func (j *Jenkins) removeHooks(h *Hooks) {
	j.hooks.list = slices.DeleteFunc(slices.Clone(j.hooks.list), func(x *Hooks) bool { return x == h })
	j.labels.reset()
	j.scheduleMaintenance()
}

// Registered counts the registrations of that name.
func (j *Jenkins) Registered(name string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, h := range j.hooks.list {
		if h.Name == name {
			n++
		}
	}
	return n
}

func (r *registry) none() bool { return len(r.list) == 0 }

func (r *registry) vetoes() bool {
	return slices.ContainsFunc(r.list, func(h *Hooks) bool { return h.CanTake != nil })
}

func (r *registry) dynamicLabels() bool {
	return slices.ContainsFunc(r.list, func(h *Hooks) bool { return h.Labels != nil })
}

// veto is a refusal: a text, or the fact that the hook panicked.
type veto struct {
	text   string
	failed bool
}

func (v veto) refused() bool { return v.failed || v.text != "" }

func guarded(f func() string) (v veto) {
	defer func() {
		if recover() != nil {
			v = veto{failed: true}
		}
	}()
	return veto{text: f()}
}

func (r *registry) canRun(it *item) veto {
	for _, h := range r.list {
		if h.CanRun == nil {
			continue
		}
		if v := guarded(func() string { return h.CanRun(it.view()) }); v.refused() {
			return v
		}
	}
	return veto{}
}

func (j *Jenkins) canTakeHooks(c *computer, it ItemView) veto {
	for _, h := range j.hooks.list {
		if h.CanTake == nil {
			continue
		}
		if v := guarded(func() string { return h.CanTake(j.nodeView(c), it) }); v.refused() {
			return v
		}
	}
	return veto{}
}

func swallow(f func()) {
	defer func() { _ = recover() }() // a throwing listener is ignored by Jenkins
	f()
}

func (r *registry) leaveBuildable(it *item) {
	for _, h := range r.list {
		if h.OnLeaveBuildable != nil {
			swallow(func() { h.OnLeaveBuildable(it.view()) })
		}
	}
}

// onLeft is about an executor, nil if the item was cancelled.
func (j *Jenkins) onLeft(e *executor, it *item) {
	for _, h := range j.hooks.list {
		if h.OnLeft != nil {
			swallow(func() { h.OnLeft(j.executorView(e), it.view()) })
		}
	}
}

func (j *Jenkins) taskStarted(e *executor, it *item) {
	for _, h := range j.hooks.list {
		if h.TaskStarted != nil {
			swallow(func() { h.TaskStarted(j.executorView(e), it.view(), e.exec.executablePath()) })
		}
	}
}

func (j *Jenkins) taskCompleted(e *executor, it *item) {
	for _, h := range j.hooks.list {
		if h.TaskCompleted != nil {
			swallow(func() { h.TaskCompleted(j.executorView(e), it.view()) })
		}
	}
}

func (j *Jenkins) onConnection(c *computer) {
	for _, h := range j.hooks.list {
		f := h.OnOffline
		if c.link != nil {
			f = h.OnOnline
		}
		if f != nil {
			swallow(func() { f(j.nodeView(c)) })
		}
	}
}

func (j *Jenkins) onUpdated(before, after *node) {
	for _, h := range j.hooks.list {
		if h.OnUpdated != nil {
			swallow(func() { h.OnUpdated(j.viewOf(before), j.viewOf(after)) })
		}
	}
}

func (j *Jenkins) onDeleted(n *node) {
	for _, h := range j.hooks.list {
		if h.OnDeleted != nil {
			swallow(func() { h.OnDeleted(j.viewOf(n)) })
		}
	}
}

func taskAccepted(hooks []*Hooks, node string, view ItemView) {
	for _, h := range hooks {
		if h.TaskAccepted != nil {
			swallow(func() { h.TaskAccepted(node, view) })
		}
	}
}

// nodeView is what a hook sees of a computer and its node.
func (j *Jenkins) nodeView(c *computer) NodeView { return j.view(j.nodeOf(c), c) }

// viewOf is what a hook sees of a node, which may be one that is gone.
func (j *Jenkins) viewOf(n *node) NodeView { return j.view(n, j.fleet.computers[n.name]) }

func (j *Jenkins) executorView(e *executor) NodeView {
	if e == nil {
		return NodeView{}
	}
	v := j.nodeView(e.owner)
	v.Executor = e.id
	return v
}

func (j *Jenkins) view(n *node, c *computer) NodeView {
	v := NodeView{j: j, n: n, c: c}
	if n != nil {
		v.Name, v.Class, v.Labels = n.name, n.class, slices.Clone(n.labels)
	}
	if c == nil {
		return v
	}
	v.Name, v.Computer, v.Idle, v.Online = c.name, c.id, c.idle(), !j.offline(c)
	if c.link != nil {
		v.Channel = c.channel
	}
	for _, e := range c.executors {
		v.Executors = append(v.Executors, e.id)
	}
	for _, e := range c.oneOff {
		v.OneOffs = append(v.OneOffs, e.id)
	}
	return v
}

// labelsOf is Node.getAssignedLabels: self label, own labels, dynamic ones, without
// order. It panics if a Labels hook does.
func (j *Jenkins) labelsOf(n *node) []string {
	all := append(make([]string, 0, len(n.labels)+1), n.labels...)
	if !slices.Contains(all, n.selfLabel()) {
		all = append(all, n.selfLabel())
	}
	if !j.hooks.dynamicLabels() {
		return all
	}
	for _, h := range j.hooks.list {
		if h.Labels != nil {
			all = append(all, h.Labels(n.name)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// carries reports whether the node has the label now, dynamic ones included.
func (j *Jenkins) carries(n *node, label string) bool {
	if n.has(label) {
		return true
	}
	for _, h := range j.hooks.list {
		if h.Labels == nil {
			continue
		}
		found := false
		swallow(func() { found = slices.Contains(h.Labels(n.name), label) })
		if found {
			return true
		}
	}
	return false
}
