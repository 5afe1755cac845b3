// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

const defaultGrace = 5 * time.Second

// processes ends what builds left running.
type processes struct {
	goal  spec.Processes
	owned spec.Ownership
	here  Here
	proc  procfs.Root
	users users
	self  int
	known map[string]procfs.Stat // what the last look found, by the identity of its deviation
	notes []string
}

func newProcesses(s spec.Spec, here Here) Step {
	return &processes{
		goal: *s.Processes, owned: s.Owned, here: here, proc: procfs.Machine, self: os.Getpid(), known: map[string]procfs.Stat{},
	}
}

// Notes returns remarks on what the last look saw and leaves alone, and on users who are not there.
func (p *processes) Notes() []string { return slices.Concat(p.users.notes(), p.notes) }

// Look judges every process of the machine.
func (p *processes) Look(ctx context.Context) ([]Deviation, error) {
	if err := p.users.find(ctx, p.here, p.owned); err != nil {
		return nil, err
	}
	var err error
	if p.owned, err = spelled(p.owned); err != nil {
		return nil, err
	}
	j, err := p.judge()
	if err != nil {
		return nil, err
	}
	uptime := p.proc.Uptime()
	clear(p.known)
	var found []Deviation
	var staying []string
	err = j.each(func(s procfs.Stat, l *leftover) {
		if l.stays != "" {
			staying = append(staying, fmt.Sprintf("process %d (%s, %s) stays: %s", s.PID, shown(l.program), l.evidence, l.stays))
			return
		}
		d := l.deviation(s, uptime, p.users)
		p.known[d.ID] = s
		found = append(found, d)
	})
	slices.Sort(staying)
	p.notes = staying[:min(len(staying), named)]
	if more := len(staying) - named; more > 0 {
		p.notes = append(p.notes, fmt.Sprintf("%d more stay on an agent's account", more))
	}
	slices.SortFunc(found, func(a, b Deviation) int { return cmp.Compare(p.known[a.ID].Start, p.known[b.ID].Start) })
	return found, err
}

// leftover says on what evidence a process has to go.
type leftover struct {
	program, evidence string
	uid               int
	culprit           *spec.Culprit
	stays             string // on what account, "" if it goes
}

func (l leftover) deviation(s procfs.Stat, uptime uint64, names users) Deviation {
	r := spec.Residue{
		Kind: "process", ID: strconv.Itoa(s.PID), What: l.program + " (" + l.evidence + ")", Owner: names.name(l.uid), Culprit: l.culprit,
	}
	if uptime > s.Start {
		r.Age = spec.Seconds((uptime - s.Start) / procfs.TicksPerSecond) //nolint:gosec // years, not ages of the universe
	}
	return Deviation{Residue: r}
}

// culprit names the build that an environment tells of; nil if it tells of none.
func culprit(e procfs.Environ) *spec.Culprit {
	job := e.Get("JOB_NAME")
	if job == "" {
		return nil
	}
	number, _ := strconv.ParseInt(e.Get("BUILD_NUMBER"), 10, 64)
	return &spec.Culprit{Job: job, Build: number, By: "environment"}
}

// agentUser is the user that called us, also through sudo.
func agentUser() int {
	if uid, err := strconv.Atoi(os.Getenv("SUDO_UID")); err == nil && os.Getuid() == 0 {
		return uid
	}
	return os.Getuid()
}
