// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"log/slog"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// setback is a step of a loan that met an error.
type setback struct {
	step  string
	times int
	until time.Time // it is not tried again before
	last  error
}

// lendBackoff is between two tries of one step: a controller may be dead for days, with a node that is owed there.
var lendBackoff = hygiene.Backoff{First: time.Second, Max: 30 * time.Second}

// looking is the step of looking at a loan's program, which no action asks for.
const looking = "look at its program"

// resting says for how long a step of a loan is not tried again. What else the loan needs is done meanwhile.
func (l *Lender) resting(id, step string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.setbacks[id] {
		if s.step == step {
			return time.Until(s.until)
		}
	}
	return 0
}

// setBack notes that a step met an error, and logs it where it is news.
func (l *Lender) setBack(ctx context.Context, one *loan.Loan, step string, err error) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.setbacks[one.ID]
	i := 0
	for i < len(all) && all[i].step != step {
		i++
	}
	level := slog.LevelDebug
	if i == len(all) {
		level, all = slog.LevelWarn, append(all, setback{step: step})
	}
	all[i].times++
	all[i].last = err
	wait := lendBackoff.After(all[i].times, one.ID)
	all[i].until = time.Now().Add(wait)
	l.setbacks[one.ID] = all
	l.Log.Log(ctx, level, "a step of a loan failed, and is tried again", "loan", one.ID, "step", step, "err", err)
	return wait
}

// goesOn forgets the setbacks of a step that went well, or of all if step is "".
func (l *Lender) goesOn(id, step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.setbacks[id]
	kept := all[:0]
	for _, s := range all {
		if step != "" && s.step != step {
			kept = append(kept, s)
		}
	}
	if l.setbacks[id] = kept; len(kept) == 0 {
		delete(l.setbacks, id)
	}
}

// trouble is what a loan met last, "" if nothing.
func (l *Lender) trouble(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if all := l.setbacks[id]; len(all) > 0 {
		return ": " + all[len(all)-1].last.Error()
	}
	return ""
}
