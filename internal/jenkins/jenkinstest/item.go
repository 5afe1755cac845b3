// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// leftFor is how long an item that left the queue can still be asked for.
const leftFor = 5 * time.Minute

// stage is where an item stands.
type stage int

const (
	stageWaiting stage = iota
	stageBlocked
	stageBuildable
	stagePending
	stageLeft
)

// Classes of items by stage.
var itemClasses = map[stage]string{
	stageWaiting:   "hudson.model.Queue$WaitingItem",
	stageBlocked:   "hudson.model.Queue$BlockedItem",
	stageBuildable: "hudson.model.Queue$BuildableItem",
	stagePending:   "hudson.model.Queue$BuildableItem",
	stageLeft:      "hudson.model.Queue$LeftItem",
}

// task is what an item will run.
type task interface {
	taskJob() *job
	taskClass() string
	taskName() string
	taskFullName() string // for people
	// assignedLabel is the text of the label expression, "" for none.
	assignedLabel() string
	flyweight() bool
	concurrent() bool
	// blockage is the task's own reason not to run now, "" for none.
	blockage(l locale) string
	// create makes the executable, under the lock; nil if the task refuses.
	create(it *item, e *executor) executable
}

// item is an entry of the queue.
type item struct {
	id     int64
	task   task
	params []param
	causes []buildCause

	stage      stage
	since      time.Time // in the queue
	due        time.Time // end of the quiet period
	buildable  time.Time // no longer waiting
	order      uint64    // place among the buildables
	veto       veto      // of the last canRun
	leftAt     time.Time
	cancelled  bool
	executable executable
	continued  bool // a node block coming back after a restart
	stalled    bool // a fault: never dispatched
}

// label is the effective label: a parameter may override the task's.
func (it *item) label() string {
	for _, p := range it.params {
		if p.label != "" {
			return p.label
		}
	}
	return it.task.assignedLabel()
}

// paramsText is the "params" field: newline-prefixed name=value lines.
func (it *item) paramsText() string {
	var b strings.Builder
	for _, p := range it.params {
		b.WriteString("\n" + p.name + "=" + p.shown())
	}
	return b.String()
}

func (it *item) view() ItemView {
	v := ItemView{
		ID: it.id, Class: it.task.taskClass(), Task: it.task.taskFullName(), Job: it.task.taskJob().fullName(), Label: it.label(),
		Flyweight: it.task.flyweight(), Continued: it.continued, Cancelled: it.cancelled, Params: make(map[string]string, len(it.params)),
	}
	for _, p := range it.params {
		v.Params[p.name] = p.value
	}
	_, v.Block = it.task.(*placeholder)
	return v
}

// queue holds the items by stage.
type queue struct {
	lastID    int64
	lastOrder uint64
	byID      map[int64]*item
	waiting   []*item
	blocked   []*item
	groups    map[string]*group // buildable, by label
	flyweight []*item           // buildable flyweights without a place yet
	pending   []*item
	left      []*item // oldest first
	tasks     map[task]*taskItems
}

// taskItems are the items of one task, so that merging and blocking need no scan.
type taskItems struct {
	queued  []*item // not pending, not left
	pending int
}

// group holds the buildable items that ask for the same label, in order.
type group struct {
	label string
	items []*item
}

func newQueue() queue {
	return queue{byID: map[int64]*item{}, groups: map[string]*group{}, tasks: map[task]*taskItems{}}
}

func without(list []*item, it *item) []*item {
	return slices.DeleteFunc(list, func(x *item) bool { return x == it })
}

// leave takes the item out of its stage's list.
func (q *queue) leave(it *item) {
	q.unindex(it)
	switch it.stage {
	case stageWaiting:
		q.waiting = without(q.waiting, it)
	case stageBlocked:
		q.blocked = without(q.blocked, it)
	case stagePending:
		q.pending = without(q.pending, it)
	case stageBuildable:
		q.flyweight = without(q.flyweight, it)
		if g := q.groups[it.label()]; g != nil {
			if g.items = without(g.items, it); len(g.items) == 0 {
				delete(q.groups, g.label)
			}
		}
	case stageLeft:
	}
}

// enter puts the item into a stage.
func (q *queue) enter(it *item, s stage) {
	it.stage = s
	q.index(it)
	switch s {
	case stageWaiting:
		q.waiting = append(q.waiting, it)
	case stageBlocked:
		q.blocked = append(q.blocked, it)
	case stageBuildable:
		q.lastOrder++
		it.order = q.lastOrder
		q.enterBuildable(it)
	case stagePending:
		q.pending = append(q.pending, it)
	case stageLeft:
		it.leftAt = time.Now()
		q.left = append(q.left, it)
	}
}

func (q *queue) enterBuildable(it *item) {
	if it.task.flyweight() {
		q.flyweight = append(q.flyweight, it)
		return
	}
	label := it.label()
	g := q.groups[label]
	if g == nil {
		g = &group{label: label}
		q.groups[label] = g
	}
	g.items = append(g.items, it)
}

// forget drops items that left more than five minutes ago.
func (q *queue) forget(now time.Time) {
	n := 0
	for n < len(q.left) && now.Sub(q.left[n].leftAt) >= leftFor {
		delete(q.byID, q.left[n].id)
		n++
	}
	if n > 0 {
		q.left = slices.Delete(q.left, 0, n)
	}
}

// buildables lists the buildable items in the order of dispatch.
func (q *queue) buildables() []*item {
	all := slices.Clone(q.flyweight)
	for _, g := range q.groups {
		all = append(all, g.items...)
	}
	slices.SortFunc(all, func(a, b *item) int { return cmp.Compare(a.order, b.order) })
	return all
}

// of returns the items of a task that are queued but not pending.
func (q *queue) of(t task) []*item {
	if of := q.tasks[t]; of != nil {
		return slices.Clone(of.queued)
	}
	return nil
}

// occupied reports whether an item of the task is buildable or pending.
func (q *queue) occupied(t task) bool {
	of := q.tasks[t]
	return of != nil && (of.pending > 0 || slices.ContainsFunc(of.queued, func(it *item) bool { return it.stage == stageBuildable }))
}

func (q *queue) index(it *item) {
	if it.stage == stageLeft {
		return
	}
	of := q.tasks[it.task]
	if of == nil {
		of = &taskItems{}
		q.tasks[it.task] = of
	}
	if it.stage == stagePending {
		of.pending++
	} else {
		of.queued = append(of.queued, it)
	}
}

func (q *queue) unindex(it *item) {
	of := q.tasks[it.task]
	if of == nil || it.stage == stageLeft {
		return
	}
	if it.stage == stagePending {
		of.pending--
	} else {
		of.queued = without(of.queued, it)
	}
	if of.pending == 0 && len(of.queued) == 0 {
		delete(q.tasks, it.task)
	}
}

// size counts items that have not left.
func (q *queue) size() int {
	n := len(q.waiting) + len(q.blocked) + len(q.flyweight) + len(q.pending)
	for _, g := range q.groups {
		n += len(g.items)
	}
	return n
}
