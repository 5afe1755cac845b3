// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"cmp"
	"fmt"
	"time"
)

// Outcome is how an attempt ended, or what it asks for.
type Outcome string

// The four outcomes a program can report, and the two that only we can tell.
const (
	Cleaned   Outcome = "cleaned"
	Failed    Outcome = "failed"
	Reconnect Outcome = "reconnect"
	Reboot    Outcome = "reboot"
	// Lost: nobody can tell (agent offline in mid-attempt, controller restarted, build
	// deleted). It is no failure of the agent and does not count towards quarantine.
	Lost Outcome = "lost"
	// GivenBack: the attempt ended before the program touched anything.
	GivenBack Outcome = "given back"
)

// Verdict is what became of an attempt's program, as far as it could be learnt.
type Verdict struct {
	Number  int64  // as the report says; must be the attempt's
	Nonce   string // as the report says
	On      string // agent that it really ran on
	Outcome Outcome
	// Verified is true when the verify phase ran to its end and every step of it succeeded.
	Verified bool
	Step     string // the failing step
	Reason   string
	// Permanent marks a failure that trying again cannot mend: quarantine at once.
	Permanent bool
	// Losses is the number of the agent's attempts in a row, this one included, that were lost while a
	// program of this recipe revision ran; 0 for an outcome that is no such loss.
	Losses int
	// Hindered is the number of the agent's attempts in a row, this one included, that were given back, when what was in
	// the way of this one stays there until a person does something about it; 0 for any other.
	Hindered int
	// Ungranted is the number of the agent's attempts in a row, this one included, that proved it clean and were lost before it
	// could be labelled so, although nothing real used it; 0 for any other.
	Ungranted int
	// Unused marks a lost attempt that was proven, and after which nothing real is known to have run:
	// verification alone is due.
	Unused  bool
	Machine string // machine id, "" unknown
	Host    string
	BootID  string
	Uptime  time.Duration // since that boot, when the report was made; 0 unknown
	Process string
}

// maxReconnects bounds how often one attempt may ask for a new session.
const maxReconnects = 2

// Judge ends (or continues) attempt t of agent a with verdict v. It returns both as they must
// be stored in one transaction. A verdict that does not carry the attempt's number, nonce and
// agent is an error: the caller records it and changes nothing.
func Judge(a Agent, t Attempt, v Verdict, p Policy, now time.Time) (Agent, Attempt, error) {
	if err := fence(a, t, v); err != nil {
		return a, t, err
	}
	// What was proven clean was the machine and not the name: an agent that was deleted and made anew, or moved, may stand elsewhere.
	moved := t.Need == NeedVerify && t.Reconnect == 0 && a.Machine != "" && v.Machine != "" && v.Machine != a.Machine
	a.seeMachine(v, t, now)
	if v.BootID != "" {
		t.Run.BootID, t.Run.Process = v.BootID, v.Process
	}
	switch {
	case v.Outcome == Cleaned && moved:
		v.Outcome, v.Reason = Failed, "verified on another machine than was cleaned"
	case v.Outcome == Cleaned && v.Verified:
		t.Proved = now
		a, err := a.To(Granting, fmt.Sprintf("proven clean by attempt %d", t.Number), now)
		return a, t, err
	case v.Outcome == Cleaned:
		v.Outcome, v.Reason = Failed, "reported cleaned but not verified"
	case v.Outcome == Reconnect || v.Outcome == Reboot:
		if t.Reconnect < maxReconnects {
			if t.Reconnect == 0 {
				t.Run.Swept = Swept{Began: t.began(), URL: t.Run.URL}
			}
			t.Reconnect++
			t.Asked = v.Outcome
			a, err := a.To(Reconnecting, "asked for a "+string(v.Outcome), now)
			return a, t, err
		}
		v.Outcome, v.Reason = Failed, fmt.Sprintf("asked for a %s again after %d", v.Outcome, t.Reconnect)
	}
	return End(a, t, v, p, now)
}

// fence refuses verdicts of another attempt or another agent.
func fence(a Agent, t Attempt, v Verdict) error {
	switch {
	case t.Number != a.Attempt || !t.Ended.IsZero():
		return fmt.Errorf("agent %s: attempt %d is not the current one (%d): %w", a.ID, t.Number, a.Attempt, ErrStale)
	case v.Outcome == Lost || v.Outcome == GivenBack:
		return nil // our own conclusion, it carries no report
	case v.Outcome == Failed && v.Nonce == "" && v.Number == 0:
		return nil // our own conclusion: no report, or one that proves nothing
	case v.Number != t.Number || v.Nonce != t.Nonce:
		return fmt.Errorf("agent %s: the report is not of attempt %d: %w", a.ID, t.Number, ErrStale)
	case v.On != a.ID.Name:
		return fmt.Errorf("agent %s: the program ran on %q: %w", a.ID, v.On, ErrStale)
	}
	return nil
}

// LossesAtOnce is how many attempts in a row may be lost before the next waits. One is an accident; a
// recipe that ends its own agent loses all of them.
const LossesAtOnce = 2

// EditsAtOnce is how many times in a row an agent may lose its cleanliness to somebody's edit of its labels before the next
// cleanup waits. A person asks for cleanups that way; what sets the label again and again is no person.
const EditsAtOnce = 2

// AfterEdits is how long the next cleanup waits after the n-th such edit in a row.
func (p Policy) AfterEdits(n int, agent string) time.Duration {
	return p.Backoff.After(n-EditsAtOnce, agent)
}

// InRow reports whether two edits, of which none but such lay between, are of one row.
func (p Policy) InRow(earlier, later time.Time) bool {
	return p.Backoff.Max <= 0 || later.Sub(earlier) <= 2*p.Backoff.Max
}

// Loses reports whether attempt t, which was lost, was lost while its program ran: as a recipe that
// ends its own agent loses it.
func (t *Attempt) Loses() bool {
	return t.Outcome == Lost && !t.Began.IsZero() && t.Proved.IsZero()
}

// CountLosses counts, of an agent's ended attempts, newest first, those in a row that were lost while
// their program of a recipe revision ran. Attempts that were given back or overtaken touched nothing, or
// proved that the program did not end its agent, and do not count; any that ended otherwise ends the row.
func CountLosses(attempts []Attempt, revision string) int {
	n := 0
	for i := range attempts {
		switch t := &attempts[i]; {
		case t.Ended.IsZero() || t.Outcome == GivenBack:
		case !t.Loses() || t.Revision != revision:
			return n
		default:
			n++
		}
	}
	return n
}

// CountUngranted counts, of an agent's attempts, newest first, the ended ones in a row that proved it clean and were lost all the
// same, although nothing real used it. Attempts that were given back touched nothing, and do not count.
func CountUngranted(attempts []Attempt) int {
	n := 0
	for i := range attempts {
		switch t := &attempts[i]; {
		case t.Ended.IsZero() || t.Outcome == GivenBack:
		case t.Outcome != Lost || t.Proved.IsZero() || t.Run.Used != "":
			return n
		default:
			n++
		}
	}
	return n
}

// CountGivenBack counts, of an agent's attempts, newest first, the ended ones in a row that were given back.
func CountGivenBack(attempts []Attempt) int {
	n := 0
	for i := range attempts {
		switch t := &attempts[i]; {
		case t.Ended.IsZero():
		case t.Outcome != GivenBack:
			return n
		default:
			n++
		}
	}
	return n
}

// unfitLook is when an agent is looked at again whose configuration forbids calling it clean. It is
// no failure of the agent or its recipe, and a person mends it with one click.
const unfitLook = 15 * time.Minute

// End closes attempt t of agent a with an outcome that is not a success, and says when to look
// at the agent next. Lost and given-back attempts cost the agent nothing.
func End(a Agent, t Attempt, v Verdict, p Policy, now time.Time) (Agent, Attempt, error) {
	t.Ended, t.Outcome, t.Reason, t.Step = now, v.Outcome, v.Reason, v.Step
	a, err := a.To(Due, v.Reason, now)
	if err != nil {
		return a, t, err
	}
	seed := a.ID.String()
	switch {
	case v.Outcome == GivenBack && v.Permanent:
		a.Quarantine = &Quarantine{Reason: v.Reason, Since: now, By: byUs, NextLook: now.Add(unfitLook)}
		a.NextLook = a.Quarantine.NextLook
		return a, t, nil
	case v.Outcome == GivenBack:
		a.NextLook = now.Add(p.Backoff.After(max(1, v.Hindered), seed) / 4)
		if a.Quarantine.byPerson() && a.Quarantine.NextLook.After(a.NextLook) {
			a.NextLook = a.Quarantine.NextLook
		}
		return a, t, nil
	case v.Outcome == Lost:
		a.NextLook = now
		if wait := p.Backoff.After(v.Losses-LossesAtOnce, seed); wait > 0 {
			a.NextLook = now.Add(wait)
			a.Reason = fmt.Sprintf("%s; so were %d attempts in a row with this recipe, which may end its own agent", v.Reason, v.Losses)
		}
		if wait := p.AfterEdits(v.Ungranted, seed); wait > 0 {
			a.NextLook = now.Add(wait)
			a.Reason = fmt.Sprintf("%s; %d attempts in a row proved it clean in vain", v.Reason, v.Ungranted)
		}
		if a.Quarantine.byPerson() {
			a.NextLook = a.Quarantine.NextLook
		}
		if v.Unused && t.Run.Used == "" && a.Need == t.Need && t.Depth.Covers(a.Depth) {
			a.Need = NeedVerify
		} else {
			a.Need = NeedCleanup
		}
		return a, t, nil
	case t.Need == NeedVerify && t.Reconnect == 0:
		// Verification alone failed: that only means that a whole cleanup is due.
		a.Need, a.NextLook = NeedCleanup, now
		return a, t, nil
	}
	a.Need = NeedCleanup
	a.Failures++
	a.NextLook = now.Add(p.Backoff.After(a.Failures, seed))
	if a.Quarantine != nil || v.Permanent || p.QuarantineAfter > 0 && a.Failures >= p.QuarantineAfter {
		a.Quarantine = quarantine(a.Quarantine, v, a.Failures, now, p)
		a.NextLook = a.Quarantine.NextLook
	}
	return a, t, nil
}

func quarantine(old *Quarantine, v Verdict, failures int, now time.Time, p Policy) *Quarantine {
	q := Quarantine{Since: now, By: byUs, NextLook: now.Add(p.QuarantineLook)}
	if old.byPerson() && old.NextLook.After(now) {
		return old
	}
	if old != nil {
		q = *old
		q.NextLook = now.Add(p.QuarantineLook)
	}
	q.Reason = fmt.Sprintf("%d failures, the last: %s", failures, v.Reason)
	if v.Permanent {
		q.Reason = v.Reason
	}
	return &q
}

// Grant ends attempt t as a success: the label clean was written and read back. Epoch is the
// store's; a restored backup starts a new one, in which no earlier grant counts. After a
// person's word or a build in the meantime it refuses with [ErrOvertaken], but not after a build that the label has let in: that uses up
// what is granted, see [Run.LetIn].
func Grant(a Agent, t Attempt, epoch string, now time.Time) (Agent, Attempt, error) {
	if t.Number != a.Attempt || !t.Ended.IsZero() || t.Proved.IsZero() {
		return a, t, fmt.Errorf("agent %s: attempt %d proves nothing: %w", a.ID, t.Number, ErrStale)
	}
	before := t
	if t.Run.LetIn {
		before.Run.Used = "" // it came after the label
	}
	if why := overtaken(a, before, now); why != "" {
		return a, t, fmt.Errorf("agent %s, attempt %d: %w: %s", a.ID, t.Number, ErrOvertaken, why)
	}
	a, err := a.To(Clean, fmt.Sprintf("cleaned and verified by attempt %d", t.Number), now)
	if err != nil {
		return a, t, err
	}
	t.Ended, t.Outcome, t.Reason = now, Cleaned, ""
	a.LastCleaned, a.Epoch = now, epoch
	a.Failures, a.Quarantine, a.NextLook = 0, nil, time.Time{}
	a.Need, a.Depth = NeedCleanup, "" // it was as deep as was asked for, else it were overtaken
	// A lifted mark is not put back on a proven agent: Jenkins' monitor sets its own again if it still
	// misses space, but would never lift ours (hudson.node_monitors.AbstractNodeMonitorDescriptor#markOnline).
	a.Mark = ""
	return a, t, nil
}

// overtaken says what came after the proof and forbids the grant, "" when nothing did.
func overtaken(a Agent, t Attempt, now time.Time) string {
	switch {
	case t.Run.Used != "":
		return "a build ran on it since it was cleaned: " + t.Run.Used
	case t.Need == NeedVerify && a.Need != NeedVerify:
		return "it was only verified, and a whole cleanup is due since"
	case !t.Depth.Covers(a.Depth):
		return fmt.Sprintf("a %s cleanup was asked for since, and this was none", a.Depth)
	}
	return a.KeptOut(now)
}

// Claim stores the next attempt of a due agent.
func Claim(a Agent, p Policy, session, nonce string, now time.Time) (Agent, Attempt, error) {
	a, err := a.To(Claimed, "chosen for a cleanup", now)
	if err != nil {
		return a, Attempt{}, err
	}
	a.Attempt++
	a.LastServed = now
	if a.Need == "" {
		a.Need = NeedCleanup
	}
	return a, Attempt{
		Agent: a.ID, Number: a.Attempt, Nonce: nonce, Pool: p.Pool,
		Recipe: p.Recipe, Revision: p.Revision, Need: a.Need, Depth: cmp.Or(a.Depth, p.Depth, Standard), Delivery: p.Delivery,
		Session: session, Claimed: now,
	}, nil
}
