// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"cmp"
	"slices"
	"time"
)

// Boot is one boot of the machine of an agent, as that agent's cleanups saw it.
type Boot struct {
	ID string `json:"id"`
	// From is a time by which the kernel was surely up, To one until which it surely was, by our clock. A single look
	// without the machine's uptime has To before From: it was up at some moment between the two.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Boots are the newest boots of an agent's machine, oldest first. They tell clones apart: virtual machines made of one
// image often bear one machine id.
//
// Two agents with one machine id are taken for agents of one machine unless it is proved that two kernels ran at one
// time: two different boot ids were both up at one moment. Different boot ids alone prove nothing, since the machine may
// have been rebooted between the cleanups of its two agents, and neither do different names of hosts: that of a
// container changes with each start. Where nothing is proved no cleanup is begun beside a build, which costs only time.
//
// The proof is of the past, and is believed as long as each agent reports the machine id and the name of its host that
// it reported then: an agent that is moved to another machine reports another one of them. A boot id that both agents
// have reported proves the opposite, and prevails. Machines that are set back to a snapshot of a running system report
// an old boot id again, and all that was proved of them is forgotten then.
type Boots []Boot

// mostBoots is how many boots of a machine are remembered: machines that are rebooted by each cleanup would else be told
// apart for the time of a proof only.
const mostBoots = 4

// Apart reports whether the two are proved to be boots of two machines.
func (b Boots) Apart(other Boots) bool {
	apart := false
	for _, x := range slices.Backward(b) {
		for _, y := range slices.Backward(other) {
			switch {
			case x.ID == y.ID:
				return false
			case !x.From.After(y.To) && !y.From.After(x.To):
				apart = true
			}
		}
	}
	return apart
}

// seen returns the boots with one more look, of a program that ran between since and until on a machine that was up for
// uptime then, 0 if it does not tell.
func (b Boots) seen(id string, uptime time.Duration, since, until time.Time) Boots {
	look := Boot{ID: id, From: until, To: since}
	if uptime > 0 {
		// Its seconds are rounded, and need not be as long as ours.
		look.From = until.Add(min(0, 2*time.Second+uptime/1000-uptime))
	}
	at := slices.IndexFunc(b, func(x Boot) bool { return x.ID == id })
	switch {
	case at >= 0 && at < len(b)-1, len(b) > 0 && since.Before(b[len(b)-1].To):
		return Boots{look} // set back to a snapshot, or our clock was
	case at < 0:
		b = append(slices.Clone(b), look)
		return b[max(0, len(b)-mostBoots):]
	}
	b = slices.Clone(b)
	b[at].From = earlier(b[at].From, look.From)
	b[at].To = since
	return b
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// seeMachine notes what the report of attempt t says of the agent's machine.
func (a *Agent) seeMachine(v Verdict, t Attempt, now time.Time) {
	if v.Machine == "" {
		return
	}
	if v.Machine != a.Machine || v.Host != a.Host || !isBootID(v.BootID) {
		a.Boots = nil
	}
	a.Machine, a.Host = v.Machine, v.Host
	if isBootID(v.BootID) {
		a.Boots = a.Boots.seen(v.BootID, v.Uptime, t.Claimed, now)
	}
}

// isBootID reports whether id is one that a kernel has drawn at random (/proc/sys/kernel/random/boot_id). Others are made
// of the time of the boot, which one boot does not always tell alike.
func isBootID(id string) bool {
	for i, c := range []byte(id) {
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return len(id) == 36
}

// OneMachine reports whether the two agents may be on one machine.
func OneMachine(a, b Agent) bool {
	return a.Machine != "" && a.Machine == b.Machine && !a.Boots.Apart(b.Boots)
}

// Clones are managed agents that report one machine id and are proved to be on several machines.
type Clones struct {
	Machine string // their machine id
	Agents  []AgentID
}

// FindClones returns the clones among agents, by machine id.
func FindClones(agents []Agent) []Clones {
	of := map[string][]Agent{}
	for _, a := range agents {
		if a.Machine != "" && a.Managed() {
			of[a.Machine] = append(of[a.Machine], a)
		}
	}
	var found []Clones
	for machine, all := range of {
		c := Clones{Machine: machine}
		for _, a := range all {
			if slices.ContainsFunc(all, func(b Agent) bool { return a.Boots.Apart(b.Boots) }) {
				c.Agents = append(c.Agents, a.ID)
			}
		}
		if len(c.Agents) > 0 {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b Clones) int { return cmp.Compare(a.Machine, b.Machine) })
	return found
}
