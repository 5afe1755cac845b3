// SPDX-License-Identifier: Apache-2.0

package reconcile

import "time"

// quiet are the agents on which the newest look before a restart of the controller saw no build. It is not stored: after
// a restart of the daemon as well nobody can tell.
type quiet struct {
	session string        // that the restart began
	unseen  time.Duration // between that look and the first after the restart
	rest    time.Duration // from the restart before that one to the look; 0 = there was none
	agents  map[string]bool
}

// quietIn says what the look before, nil if there was none, tells of the agents now that the controller was restarted. It
// is asked again with each look as long as the restart cannot be stored.
func (c *Crew) quietIn(before, now *Look) quiet {
	if before == nil || before.Session == now.Session {
		return c.quiet
	}
	s := c.settings.Load()
	q := quiet{session: now.Session, unseen: now.At.Sub(before.At), agents: make(map[string]bool, len(before.Agents))}
	if !before.SessionSince.IsZero() {
		q.rest = max(1, before.At.Sub(before.SessionSince))
	}
	for name, a := range before.Agents {
		builds := a.Hidden
		for _, e := range a.Running {
			builds = builds || !s.ours(e.Job)
		}
		q.agents[name] = !builds
	}
	return q
}

// wasQuiet reports whether no build of before the controller's restart can live on an agent, but for one that began in
// the moment after the newest look before it. A longer time without a look, or another restart shortly before, after which
// an idle executor proves nothing either, leaves that unknown.
func (c *Crew) wasQuiet(v *view, look *Look) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, settle := &c.quiet, v.policy.Settle
	return q.session == look.Session && q.unseen <= settle && (q.rest == 0 || q.rest >= settle) && q.agents[v.agent.ID.Name]
}
