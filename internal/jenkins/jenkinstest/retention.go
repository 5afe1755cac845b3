// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"time"
)

// retentionPeriod is how often retention strategies are asked.
const retentionPeriod = time.Minute

func terminated() *offlineCause { return &offlineCause{class: causeTermination, at: time.Now()} }

// autoLaunch starts an agent that the controller launches itself, unless its strategy
// waits for demand.
func (j *Jenkins) autoLaunch(c *computer) {
	n := j.nodeOf(c)
	if n == nil || n.builtIn() || n.inbound() || n.retention == classDemand {
		return
	}
	j.launch(c)
}

// checkRetention is what a replaced node's strategy does: it may reconnect an agent that
// the controller launches.
func (j *Jenkins) checkRetention(c *computer) {
	if c.link == nil && c.channel > 0 && j.life.phase == phaseUp {
		j.autoLaunch(c)
	}
}

// launch starts the agent's process asynchronously.
func (j *Jenkins) launch(c *computer) {
	if c.link != nil || c.launching || j.nodeOf(c) == nil {
		return
	}
	c.launching = true
	info, life := j.agentInfo(c), j.life
	j.spawn(func() {
		pause(life.ctx, j.timing().Launch)
		link, err := j.startProcess(info)
		j.mu.Lock()
		defer j.mu.Unlock()
		c.launching = false
		stale := j.life.number != life.number || j.life.phase == phaseClosed || j.fleet.computers[c.name] != c || c.link != nil
		switch {
		case err != nil && !stale:
			c.lostCause = &offlineCause{class: causeLaunchFailed, at: time.Now()}
		case err == nil && stale:
			link.Close("no longer wanted")
		case err == nil:
			j.online(c, link)
		}
	})
}

// startProcess launches through Options.Launch or makes a link of our own.
func (j *Jenkins) startProcess(info AgentInfo) (AgentLink, error) {
	if j.opts.Launch != nil {
		return j.opts.Launch.Launch(j.ctx, info)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.machines[info.Name]; a != nil && a.dead {
		return nil, ErrLaunchRejected
	}
	return j.newLink(info.Name), nil
}

// nextRetention is when strategies must be asked again; never without agents that come
// on demand.
func (j *Jenkins) nextRetention(now time.Time) (time.Time, bool) {
	for name := range j.fleet.demand {
		if c := j.fleet.computers[name]; c != nil && (c.link != nil || len(j.queue.groups) > 0) {
			steps := now.Sub(j.life.started)/retentionPeriod + 1
			return j.life.started.Add(steps * retentionPeriod), true
		}
	}
	return time.Time{}, false
}

// retain asks the demand strategies (hudson.slaves.RetentionStrategy$Demand#check):
// launch when an item has waited long enough that only this agent can help,
// disconnect when idle for long.
func (j *Jenkins) retain(now time.Time) {
	for _, name := range sortedKeys(j.fleet.demand) {
		c, n := j.fleet.computers[name], j.fleet.nodes[name]
		if c == nil {
			continue
		}
		switch {
		case c.link != nil && c.idle() && now.Sub(c.idleSince) >= time.Duration(max(1, n.idleDelay))*time.Minute:
			j.unlink(c, &offlineCause{class: causeIdle, at: now, message: "Idle for too long"})
		case c.link == nil && j.wanted(n, now.Add(-time.Duration(n.demandDelay)*time.Minute)):
			j.launch(c)
		}
	}
}

// wanted reports whether an item that became buildable before then could run on the node.
func (j *Jenkins) wanted(n *node, before time.Time) bool {
	if n.cause != nil {
		return false
	}
	for _, g := range j.queue.groups {
		if g.label != "" && !j.labels.contains(j.labels.lookup(g.label), n) || g.label == "" && n.mode == modeExclusive {
			continue
		}
		if !g.items[0].buildable.After(before) {
			return true
		}
	}
	return false
}
