// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// Policy is how a pool wants its agents treated. The zero value of each field is explained
// beside it; configuration supplies the defaults.
type Policy struct {
	Pool     string
	Recipe   string
	Revision string // content address of the compiled recipe
	Depth    Depth  // of cleanups for which nobody asked for another; "" = Standard
	Delivery Delivery
	Disjoint bool // the recipe declares users and paths of its own: neighbours do not matter

	Paused  string // why nothing new starts; "" = not paused
	DryRun  bool
	Backoff Backoff

	QuarantineAfter int           // consecutive failures; 0 = never
	QuarantineLook  time.Duration // until a quarantined agent is tried again
	TTL             time.Duration // clean agents older than this are verified again; 0 = never
	Settle          time.Duration // grace after a controller restart
	HiddenAfter     time.Duration // a build that stays invisible this long counts as real

	OnDemand bool          // launch demand-launched agents when clean ones are wanted
	Monitor  MonitorPolicy // what to do about agents that a node monitor took offline
	Limits   Limits
}

// Limits bound the parts of one attempt.
type Limits struct {
	Queue     time.Duration // from hand-over to the program's start
	Run       time.Duration // from start to report
	Reconnect time.Duration // until the agent is back
	Grant     time.Duration // from proof to the label clean
}

// MonitorPolicy says what to do about an agent that a node monitor took offline.
type MonitorPolicy string

// The monitor policies.
const (
	MonitorLeave MonitorPolicy = "leave" // it waits until the monitor lifts its mark
	MonitorLift  MonitorPolicy = "lift"  // the mark is lifted while dirty is verified, then put back
	MonitorSSH   MonitorPolicy = "ssh"   // it is cleaned over SSH with the mark in place
)

// Backoff is exponential with full determinism: jitter comes from the agent and the failure
// count, so the same facts always give the same time.
type Backoff struct {
	First time.Duration
	Max   time.Duration // 0 = a year, which is as good as none
}

// After returns the wait after n consecutive failures: First doubled n-1 times, at most Max,
// then spread over 75 % to 125 % by seed.
func (b Backoff) After(n int, seed string) time.Duration {
	if n <= 0 || b.First <= 0 {
		return 0
	}
	most := b.Max
	if most <= 0 {
		most = 365 * 24 * time.Hour
	}
	d := min(b.First, most)
	for range n - 1 {
		if d >= most/2 {
			d = most
			break
		}
		d *= 2
	}
	const steps = 1000
	h := uint64(14695981039346656037) // FNV-1a, so that the spread does not depend on a process
	for _, c := range []byte(seed) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ uint64(n)) * 1099511628211
	return d*3/4 + d/2/steps*time.Duration(h%steps)
}
