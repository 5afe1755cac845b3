// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"fmt"
	"time"
)

// MayStart looks once more, after dirty was written and read back, whether the program may be
// handed over. A refusal gives the claim back: whoever sneaked in wins.
func MayStart(s Sighting, p Policy) (reason string, ok bool) {
	switch {
	case s.Gone || !s.Present:
		return "the agent vanished", false
	case !s.Labels.Has(ShowDirty) || s.Labels.Has(LabelClean):
		return "its labels are not cleanable dirty", false
	case !s.Idle:
		return "a build started on it", false
	case s.Offline && s.OfflineBy == ByPerson:
		return "a person took it offline", false
	case s.Gate.Mode == GateLost:
		return "the gate was lost: " + s.Gate.Problem, false
	case !p.Disjoint && s.Neighbour.Real != "":
		return "a build started on its machine, on " + s.Neighbour.Real, false
	}
	return "", true
}

// Readiness is the answer of [MayGrant].
type Readiness string

// The answers.
const (
	GrantNow   Readiness = "now"
	GrantLater Readiness = "later" // within a second, as far as one can tell
	GrantWait  Readiness = "wait"  // for something that polls will show
	GrantNever Readiness = "never"
)

// MayGrant says whether attempt t, which is proven, may get the label clean at now. Later means
// that nothing is wrong yet; never ends the attempt.
func MayGrant(a Agent, t Attempt, s Sighting, p Policy, now time.Time) (Readiness, string) {
	late := p.Limits.Grant > 0 && now.After(t.Proved.Add(p.Limits.Grant))
	switch {
	case a.State != Granting || t.Number != a.Attempt || t.Proved.IsZero():
		return GrantNever, "attempt proves nothing"
	case !s.At.After(t.Proved):
		return GrantLater, "waits for a look that is newer than the proof"
	case s.Gone:
		return GrantNever, "the agent vanished"
	case s.Real:
		return GrantNever, "a build started on it: " + s.RealURL
	case overtaken(a, t, now) != "":
		return GrantNever, overtaken(a, t, now)
	case s.Unfit != "":
		return GrantNever, s.Unfit
	case s.Session != "" && t.Session != "" && s.Session != t.Session:
		return GrantNever, "the controller was restarted meanwhile"
	case s.Offline && !s.Reached:
		return GrantNever, "its connection was lost after it was proved"
	case late:
		return GrantNever, fmt.Sprintf("could not be labelled clean within %s", p.Limits.Grant)
	case s.Gate.Mode == GateLost:
		return GrantWait, "the gate was lost: " + s.Gate.Problem
	case !s.Present:
		return GrantWait, "not in the controller's list"
	case !s.Idle:
		return GrantLater, "its executor is not free yet"
	case !p.Disjoint && (s.Neighbour.Cleaning != "" || s.Neighbour.Waiting != ""):
		return GrantWait, "its machine is still being cleaned, through " + s.Neighbour.Cleaning + s.Neighbour.Waiting
	}
	return GrantNow, ""
}
