// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
	"time"
)

// maintenancePeriod is the grid of Queue.MaintainTask: ends of quiet periods are
// noticed there.
const maintenancePeriod = 5 * time.Second

// scheduleMaintenance asks for a maintenance run. Runs are coalesced and happen on
// their own goroutine, so a build may start before the answer to the request that
// made it possible.
func (j *Jenkins) scheduleMaintenance() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// maintenance is the goroutine that owns the queue. It sleeps as long as nothing
// can change by time alone.
func (j *Jenkins) maintenance() {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-j.ctx.Done():
			return
		case <-j.wake:
		case <-timer.C:
		}
		j.mu.Lock()
		next, armed := time.Time{}, false
		if j.life.loaded {
			j.maintain(time.Now())
			next, armed = j.nextTick(time.Now())
		}
		j.mu.Unlock()
		timer.Stop()
		if armed {
			timer.Reset(max(0, time.Until(next)))
		}
	}
}

// nextTick is when maintenance is needed although nothing happens: at the first
// point of the five-second grid that can matter.
func (j *Jenkins) nextTick(now time.Time) (time.Time, bool) {
	var next time.Time
	consider := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	grid := func(t time.Time) time.Time {
		steps := (t.Sub(j.life.started) + maintenancePeriod - 1) / maintenancePeriod
		return j.life.started.Add(steps * maintenancePeriod)
	}
	for _, it := range j.queue.waiting {
		consider(grid(it.due))
	}
	if len(j.queue.groups) > 0 {
		consider(grid(j.labels.nextSweep(now)))
	}
	if !j.hooks.none() && j.queue.size() > len(j.queue.pending)+len(j.queue.waiting) {
		consider(grid(now.Add(1)))
	}
	if at, any := j.nextRetention(now); any {
		consider(at)
	}
	return next, !next.IsZero()
}

// scheduleItem puts a request into the queue or merges it with one that waits for
// the same task with equal parameters (hudson.model.Queue#scheduleInternal).
func (j *Jenkins) scheduleItem(t task, quiet time.Duration, params []param, causes []buildCause) (it *item, merged bool) {
	now := time.Now()
	due := now.Add(quiet)
	for _, old := range j.queue.of(t) {
		if !sameParams(old.params, params) {
			continue
		}
		old.causes = append(old.causes, causes...)
		if old.stage == stageWaiting && due.Before(old.due) {
			old.due = due
			j.scheduleMaintenance()
		}
		return old, true
	}
	it = &item{id: j.nextQueueID(), task: t, params: params, causes: causes, since: now, due: due}
	j.queue.byID[it.id] = it
	j.queue.enter(it, stageWaiting)
	j.scheduleMaintenance()
	return it, false
}

func (j *Jenkins) nextQueueID() int64 {
	j.queue.lastID++
	return j.queue.lastID
}

// cancelItem takes an item out of the queue. Items that are pending or have left
// cannot be cancelled.
func (j *Jenkins) cancelItem(it *item) bool {
	if it.stage == stagePending || it.stage == stageLeft {
		return false
	}
	wasBuildable := it.stage == stageBuildable
	j.queue.leave(it)
	if wasBuildable {
		j.hooks.leaveBuildable(it)
	}
	it.cancelled = true
	j.queue.enter(it, stageLeft)
	j.onLeft(nil, it)
	if p, ok := it.task.(*placeholder); ok {
		p.abandon()
	}
	return true
}

// itemByID finds an item, left ones included for five minutes.
func (j *Jenkins) itemByID(id int64) *item {
	j.queue.forget(time.Now())
	return j.queue.byID[id]
}

// snapshot lists the items in the order of the queue API: waiting, blocked, then
// buildable and pending reversed.
func (j *Jenkins) snapshot() []*item {
	tail := j.queue.buildables()
	slices.Reverse(tail)
	pending := slices.Clone(j.queue.pending)
	slices.Reverse(pending)
	waiting := slices.Clone(j.queue.waiting)
	slices.SortStableFunc(waiting, func(a, b *item) int { return a.due.Compare(b.due) })
	return slices.Concat(waiting, j.queue.blocked, tail, pending)
}
