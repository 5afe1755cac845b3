// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"slices"
	"time"
)

// maintain is one maintenance run (hudson.model.Queue#maintain): blocked and waiting
// items move on, then buildable ones get executors in order.
func (j *Jenkins) maintain(now time.Time) {
	j.queue.forget(now)
	for _, it := range slices.Clone(j.queue.blocked) {
		j.advance(it)
	}
	for _, it := range dueItems(j.queue.waiting, now) {
		it.buildable = now
		j.advance(it)
	}
	j.retain(now)
	if j.life.quieting {
		return
	}
	for _, it := range slices.Clone(j.queue.flyweight) {
		j.placeFlyweight(it)
	}
	j.dispatch()
}

// dueItems returns the items whose quiet period is over, earliest first.
func dueItems(waiting []*item, now time.Time) []*item {
	var due []*item
	for _, it := range waiting {
		if !it.due.After(now) {
			due = append(due, it)
		}
	}
	slices.SortStableFunc(due, func(a, b *item) int { return a.due.Compare(b.due) })
	return due
}

// advance moves a waiting or blocked item to where it belongs now.
func (j *Jenkins) advance(it *item) {
	if j.blocked(it) {
		if it.stage != stageBlocked {
			j.queue.leave(it)
			j.queue.enter(it, stageBlocked)
		}
		return
	}
	if it.task.flyweight() && !j.life.quieting && j.tryFlyweight(it) {
		return
	}
	j.queue.leave(it)
	j.queue.enter(it, stageBuildable)
}

// blocked evaluates the blockage of an item: its task, the canRun hooks, and a second
// item of a task that is not concurrent.
func (j *Jenkins) blocked(it *item) bool {
	if it.task.blockage(english) != "" {
		return true
	}
	if it.veto = j.hooks.canRun(it); it.veto.refused() {
		return true
	}
	return it.stage != stageBuildable && !it.task.concurrent() && j.queue.occupied(it.task)
}

// lane is the buildable items that ask for the same label, with the computers that may
// take them.
type lane struct {
	items      []*item
	candidates []*computer
}

// dispatch gives executors to buildable items in order. Items that ask for the same
// label share one list of candidates; items whose label has none are not looked at.
func (j *Jenkins) dispatch() {
	var lanes []*lane
	for _, g := range j.queue.groups {
		if c := j.candidates(g.label); len(c) > 0 {
			lanes = append(lanes, &lane{slices.Clone(g.items), c})
		}
	}
	for {
		var next *lane
		for _, l := range lanes {
			if len(l.items) > 0 && (next == nil || l.items[0].order < next.items[0].order) {
				next = l
			}
		}
		if next == nil {
			return
		}
		it := next.items[0]
		next.items = next.items[1:]
		// A computer may have been filled through another lane.
		next.candidates = slices.DeleteFunc(next.candidates, func(c *computer) bool { return c.parked() == nil })
		if len(next.candidates) == 0 {
			next.items = nil
			continue
		}
		if !it.stalled {
			j.offer(it, next.candidates)
		}
	}
}

// offer does the last blockage check and assigns the item to the best candidate.
func (j *Jenkins) offer(it *item, candidates []*computer) {
	if j.blocked(it) {
		j.queue.leave(it)
		j.hooks.leaveBuildable(it)
		j.queue.enter(it, stageBlocked)
		return
	}
	if j.hooks.vetoes() {
		view := it.view()
		candidates = slices.DeleteFunc(slices.Clone(candidates), func(c *computer) bool { return j.canTakeHooks(c, view).refused() })
	}
	if c := balance(it.task.taskJob().fullName(), candidates); c != nil {
		j.assign(it, c.parked())
	}
}

// candidates are the computers with a parked executor that may take work for the
// label, by the label cache.
func (j *Jenkins) candidates(labelText string) []*computer {
	var found []*computer
	if labelText == "" {
		for _, c := range j.fleet.sorted {
			if n := j.nodeOf(c); n != nil && n.mode != modeExclusive && j.ready(c) {
				found = append(found, c)
			}
		}
		return found
	}
	for name := range j.labels.set(j.labels.lookup(labelText)) {
		if c := j.fleet.computers[name]; c != nil && j.nodeOf(c) != nil && j.ready(c) {
			found = append(found, c)
		}
	}
	return found
}

func (j *Jenkins) ready(c *computer) bool {
	return !j.offline(c) && !c.rejecting && c.parked() != nil
}

// balance is the load balancer: the highest of a hash of the job's full name and the
// node's name, so that a job tends to stick to a node and few jobs move when nodes come
// and go.
func balance(fullName string, candidates []*computer) *computer {
	var best *computer
	var most uint64
	job := hashName(fullName)
	for _, c := range candidates {
		if h := mix(job, c.hash); best == nil || h > most || h == most && c.name < best.name {
			best, most = c, h
		}
	}
	return best
}

// hashName is FNV-1a, the same in every process.
func hashName(s string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return h
}

// mix combines two hashes so that each bit depends on both.
func mix(a, b uint64) uint64 {
	h := a ^ b*0x9e3779b97f4a7c15
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return h ^ h>>33
}

// assign makes the item pending on the executor and starts the executor's thread.
func (j *Jenkins) assign(it *item, e *executor) {
	wasBuildable := it.stage == stageBuildable
	j.queue.leave(it)
	if wasBuildable && e.number >= 0 {
		j.hooks.leaveBuildable(it)
	}
	j.queue.enter(it, stagePending)
	e.unit, e.started = it, time.Now()
	ctx, cancel := context.WithCancel(j.life.ctx)
	e.cancel = cancel
	j.spawn(func() { j.runExecutor(ctx, e, it) })
}

// tryFlyweight starts the item on a one-off executor if a node can take it. Neither
// canTake hooks nor "accepting tasks" are consulted
// (hudson.model.Queue#makeFlyWeightTaskBuildable).
func (j *Jenkins) tryFlyweight(it *item) bool {
	var lab *label
	if text := it.label(); text != "" {
		lab = j.labels.lookup(text)
	}
	c := j.flyweightHome(it.task.taskJob().fullName(), lab)
	if c == nil {
		return false
	}
	j.startFlyweight(it, c)
	return true
}

// flyweightHome is where a flyweight of that job would be put now, nil if nowhere.
func (j *Jenkins) flyweightHome(fullName string, lab *label) *computer {
	if builtIn := j.fleet.computers[""]; lab == nil && j.flyweightFits(builtIn, nil) {
		return builtIn
	}
	var fitting []*computer
	for _, c := range j.fleet.sorted {
		if j.flyweightFits(c, lab) {
			fitting = append(fitting, c)
		}
	}
	return balance(fullName, fitting)
}

func (j *Jenkins) flyweightFits(c *computer, lab *label) bool {
	n := j.nodeOf(c)
	if n == nil || j.offline(c) {
		return false
	}
	if lab != nil {
		return j.labels.contains(lab, n)
	}
	if n.builtIn() {
		return !c.rejecting
	}
	return n.mode != modeExclusive || j.flyweightsSpill()
}

// flyweightsSpill reports whether flyweights without a label may go to EXCLUSIVE nodes (hudson.model.Node#canTake).
func (j *Jenkins) flyweightsSpill() bool {
	n := j.fleet.nodes[""]
	return n.executors < 1 || n.mode == modeExclusive
}

func (j *Jenkins) startFlyweight(it *item, c *computer) {
	e := j.newExecutor(c, -1)
	c.oneOff = append(c.oneOff, e)
	j.assign(it, e)
}

func (j *Jenkins) placeFlyweight(it *item) {
	if j.blocked(it) {
		j.queue.leave(it)
		j.queue.enter(it, stageBlocked)
		return
	}
	j.tryFlyweight(it)
}
