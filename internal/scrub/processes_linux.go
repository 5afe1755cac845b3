// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
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
}

func newProcesses(s spec.Spec, here Here) Step {
	return &processes{
		goal: *s.Processes, owned: s.Owned, here: here, proc: procfs.Machine, self: os.Getpid(), known: map[string]procfs.Stat{},
	}
}

// Look judges every process of the machine.
func (p *processes) Look(ctx context.Context) ([]Deviation, error) {
	if err := p.users.find(ctx, p.owned.Users); err != nil {
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
	err = j.each(func(s procfs.Stat, l *leftover) {
		d := l.deviation(s, uptime, p.users)
		p.known[d.ID] = s
		found = append(found, d)
	})
	slices.SortFunc(found, func(a, b Deviation) int { return cmp.Compare(p.known[a.ID].Start, p.known[b.ID].Start) })
	return found, err
}

// leftover says on what evidence a process has to go.
type leftover struct {
	program, evidence string
	uid               int
	culprit           *spec.Culprit
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

// judge knows, for one look, who is protected and who we are.
type judge struct {
	*processes
	// ours are this program and its ancestors. The others survive unless they carry the mark of an earlier build:
	// spared are the ancestors of agents, guarded are agents and the recipe's program with all that descends from them.
	ours, spared, guarded map[int]bool
	// agentUser is the user that builds of this agent run as, pidSpace the process number space that we see.
	agentUser int
	pidSpace  string
	all       []procfs.Stat
}

func (p *processes) judge() (*judge, error) {
	all, err := p.proc.All()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	parents := make(map[int]int, len(all))
	children := make(map[int][]int, len(all))
	for _, s := range all {
		parents[s.PID] = s.Parent
		children[s.Parent] = append(children[s.Parent], s.PID)
	}
	j := &judge{
		processes: p, all: all, ours: map[int]bool{}, spared: map[int]bool{}, guarded: map[int]bool{},
		agentUser: agentUser(), pidSpace: p.proc.Link(p.self, "ns/pid"),
	}
	above(p.self, parents, j.ours)
	roots := []int{p.self}
	if j.ours[p.here.Engine] {
		roots = append(roots, p.here.Engine)
	}
	for _, s := range all {
		if p.isAgent(s) {
			roots = append(roots, s.PID)
			above(s.PID, parents, j.spared)
		}
	}
	below(roots, children, j.guarded)
	return j, nil
}

// each calls f, one call at a time, with each process that has to go and why, as soon as that is known.
func (j *judge) each(f func(procfs.Stat, *leftover)) error {
	var lock sync.Mutex
	err := j.proc.Walk(j.all, func(s procfs.Stat) {
		if l := j.verdict(s); l != nil {
			lock.Lock()
			defer lock.Unlock()
			f(s, l)
		}
	})
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	return nil
}

// above adds a process and its ancestors to set.
func above(pid int, parents map[int]int, set map[int]bool) {
	for ; pid > 0 && !set[pid]; pid = parents[pid] {
		set[pid] = true
	}
}

// below adds processes and all that descends from them to set.
func below(roots []int, children map[int][]int, set map[int]bool) {
	seen := map[int]bool{}
	for len(roots) > 0 {
		pid := roots[0]
		roots = roots[1:]
		if seen[pid] {
			continue
		}
		seen[pid], set[pid] = true, true
		roots = append(roots, children[pid]...)
	}
}

// agentPrograms are what the process of an agent is started with: the file that the controller serves, under the names
// it has had, or its main classes (hudson.remoting.Launcher, hudson.remoting.jnlp.Main).
var agentPrograms = []string{"agent.jar", "slave.jar", "remoting.jar", "hudson.remoting.Launcher", "hudson.remoting.jnlp.Main"}

// isAgent reports whether s looks like an agent's process. It protects, so it is generous: of a leftover that only
// looks like one, the environment tells.
func (p *processes) isAgent(s procfs.Stat) bool {
	if !strings.HasPrefix(s.Name, "java") && !strings.HasPrefix(path.Base(p.proc.Link(s.PID, "exe")), "java") {
		return false
	}
	return slices.ContainsFunc(p.proc.Args(s.PID), func(arg string) bool {
		base := path.Base(arg)
		return slices.Contains(agentPrograms, base) || strings.HasPrefix(base, "swarm-client")
	})
}

// verdict returns why s has to go, or nil if it stays.
func (j *judge) verdict(s procfs.Stat) *leftover {
	if s.PID == 1 || s.Kernel || j.ours[s.PID] {
		return nil
	}
	uid, ok := j.proc.UID(s.PID)
	if !ok {
		return nil
	}
	var environ procfs.Environ
	if j.goal.Cookies || j.users.owned(uid) {
		environ = j.proc.Environ(s.PID)
	}
	earlier := j.goal.Cookies && j.earlierBuild(environ)
	if !earlier && (j.spared[s.PID] || j.guarded[s.PID] || j.guarded[s.Parent]) {
		return nil // the last: it is younger than our list
	}
	exe := j.proc.Link(s.PID, "exe")
	program := s.Name
	if exe != "" {
		program = path.Base(exe)
	}
	if slices.Contains(j.goal.Keep, program) {
		return nil
	}
	evidence := j.evidence(s, uid, exe, earlier)
	if evidence == "" {
		return nil
	}
	return &leftover{program: program, evidence: evidence, uid: uid, culprit: culprit(environ)}
}

// evidence returns by what s is owned, "" if it is not.
//
// A process of a user who is not ours is owned only if it carries the mark of an earlier build, stands in an owned
// control group, or runs a program out of an owned path; that it stands or reads there is no crime of another user.
func (j *judge) evidence(s procfs.Stat, uid int, exe string, earlier bool) string {
	switch {
	case earlier:
		return "started by an earlier build"
	case len(j.owned.Cgroups) > 0 && slices.ContainsFunc(j.proc.Cgroups(s.PID), j.owned.InCgroup):
		return "in an owned control group"
	case exe != "" && j.owned.Holds(exe):
		return "runs out of an owned path"
	case !j.users.owned(uid) && uid != j.agentUser, j.elsewhere(s.PID), j.userService(s, exe):
		return ""
	case j.users.owned(uid):
		return "of an owned user"
	case j.standsInOwned(s.PID):
		return "uses an owned path"
	}
	return ""
}

// elsewhere reports whether a process lives in another space of process numbers: in a container, whose users only
// happen to have the same numbers as ours.
func (j *judge) elsewhere(pid int) bool {
	space := j.proc.Link(pid, "ns/pid")
	return space != "" && j.pidSpace != "" && space != j.pidSpace
}

// userService reports whether s is the service manager of a user, which the system keeps for as long as the user has a
// session or lingers. What it was made to run is no part of it.
func (j *judge) userService(s procfs.Stat, exe string) bool {
	if path.Base(exe) != "systemd" && s.Name != "(sd-pam)" {
		return false
	}
	return slices.ContainsFunc(j.proc.Cgroups(s.PID), func(group string) bool {
		return strings.HasPrefix(group, "/user.slice/") && path.Base(group) == "init.scope"
	})
}

// standsInOwned reports whether a process has its directory, its root or an open file in an owned path.
func (j *judge) standsInOwned(pid int) bool {
	if len(j.owned.Paths) == 0 {
		return false
	}
	if j.owned.Holds(j.proc.Link(pid, "cwd")) || j.owned.Holds(j.proc.Link(pid, "root")) {
		return true
	}
	in := false
	j.proc.OpenFiles(pid, func(file string) bool {
		in = j.owned.Holds(file)
		return !in
	})
	return in
}

// earlierBuild reports whether an environment is that of a build of this very agent, other than the one that runs us.
// Jenkins marks all processes of a build so (hudson.model.Run#getEnvironment, hudson.util.ProcessTree); agent and
// controller have to agree too, since several agents may share a machine, and several controllers.
func (j *judge) earlierBuild(e procfs.Environ) bool {
	if j.here.Agent == "" || e.Get("NODE_NAME") != j.here.Agent {
		return false
	}
	tag := e.Get("BUILD_TAG")
	if tag == "" || tag == j.here.Tag {
		return false
	}
	return same(e.Get("JENKINS_URL"), j.here.Controller) || same(e.Get("JENKINS_SERVER_COOKIE"), j.here.Cookie)
}

func same(a, b string) bool {
	return a != "" && strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
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
