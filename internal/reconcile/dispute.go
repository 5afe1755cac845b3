// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// editedData marks, in the event of an agent that is clean no more, that somebody else's edit of its labels took that.
const editedData = "edited"

// maxEdits is how far back edits are counted: the wait has long reached its cap then.
const maxEdits = 20

// dispute counts in how many a row this is of the edits that took an agent's cleanliness, and says how long the next
// cleanup waits: a plugin or a job that puts dirty on it again and again must not have it cleaned for ever at full speed.
// If that cannot be read the agent is lost all the same.
func (c *Crew) dispute(ctx context.Context, w *work, l *loss) {
	l.edits = 1
	before, err := c.Store.Events(ctx, store.EventFilter{Agent: w.agent.ID, Types: []hygiene.EventType{hygiene.EventUncleaned}, Newest: true, Limit: maxEdits})
	if err != nil {
		c.Log.WarnContext(ctx, "edits of an agent's labels could not be counted", "agent", w.agent.ID.Name, "err", err)
		return
	}
	for later := l.at; len(before) > 0 && before[0].Data[editedData] != "" && w.policy.InRow(before[0].At, later); l.edits++ {
		later, before = before[0].At, before[1:]
	}
	if l.wait = w.policy.AfterEdits(l.edits, w.agent.ID.String()); l.wait > 0 {
		l.reason = fmt.Sprintf("%s, %d times in a row", l.reason, l.edits)
	}
}

// events tell of a loss, and of a row of edits once.
func (l *loss) events(a hygiene.Agent) []hygiene.Event {
	e := event(hygiene.EventUncleaned, a, l.reason)
	if l.edits == 0 {
		return []hygiene.Event{e}
	}
	e.Data = map[string]string{editedData: "1"}
	if l.edits != hygiene.EditsAtOnce+1 {
		return []hygiene.Event{e}
	}
	return []hygiene.Event{e, event(hygiene.EventDisputed, a, l.reason+"; something else writes its labels, and the next cleanup waits, longer each time")}
}
