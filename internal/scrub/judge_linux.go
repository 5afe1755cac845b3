// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// judge knows, for one look, who is protected and who we are.
type judge struct {
	*processes
	// ours are this program and its ancestors. The others survive unless they carry the mark of an earlier build:
	// spared are the ancestors of agents, guarded are agents and the recipe's program with all that descends from them.
	ours, spared, guarded map[int]bool
	cleanup               map[int]bool // the recipe's program and this one, with all that descends from them
	agents                map[int]bool
	neighbour             bool // an agent other than ours runs here
	// agentUser is the user that builds of this agent run as, pidSpace the process number space that we see, mountSpace
	// the mounts, userSpace the users.
	agentUser  int
	pidSpace   string
	mountSpace string
	userSpace  string
	listing    procfs.Listing
	exes       map[int]string // of those in listing
}

func (p *processes) judge() (*judge, error) {
	listing, err := p.proc.List()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := listing.All
	parents := make(map[int]int, len(all))
	children := make(map[int][]int, len(all))
	for _, s := range all {
		parents[s.PID] = s.Parent
		children[s.Parent] = append(children[s.Parent], s.PID)
	}
	j := &judge{
		processes: p, listing: listing, ours: map[int]bool{}, spared: map[int]bool{}, guarded: map[int]bool{}, cleanup: map[int]bool{}, agents: map[int]bool{},
		agentUser: agentUser(), pidSpace: p.proc.Link(p.self, "ns/pid"), mountSpace: p.proc.Link(p.self, "ns/mnt"),
		userSpace: p.proc.Link(p.self, "ns/user"), exes: make(map[int]string, len(all)),
	}
	above(p.self, parents, j.ours)
	roots := []int{p.self}
	if j.ours[p.here.Engine] {
		roots = append(roots, p.here.Engine)
	}
	below(roots, children, j.cleanup)
	for i, s := range all {
		j.exes[s.PID] = listing.Exes[i]
		if p.isAgent(s, listing.Exes[i]) {
			roots = append(roots, s.PID)
			above(s.PID, parents, j.spared)
			j.agents[s.PID] = true
		}
	}
	below(roots, children, j.guarded)
	j.neighbour = j.hasNeighbour(parents)
	return j, nil
}

// each calls f, one call at a time, with each process that has to go and why, as soon as that is known, and with those that stay on an
// agent's account.
func (j *judge) each(f func(procfs.Stat, *leftover)) error {
	var lock sync.Mutex
	err := j.proc.Walk(j.listing, func(s procfs.Stat) {
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

// isAgent reports whether s looks like an agent's process. It protects, so it is generous: of a leftover that only
// looks like one, the environment tells.
func (p *processes) isAgent(s procfs.Stat, exe string) bool {
	if !strings.HasPrefix(s.Name, "java") && !strings.HasPrefix(path.Base(exe), "java") {
		return false
	}
	return runsAgent(p.proc.Args(p.proc.Body(s)))
}

// verdict returns why s has to go, or nil if it stays. One that stays on an agent's account alone is returned too: a build can start what
// looks like an agent, and what a build has started and left may be adopted by an agent that is process 1 of its container.
func (j *judge) verdict(s procfs.Stat) *leftover {
	if s.PID == 1 || s.Kernel || j.ours[s.PID] {
		return nil
	}
	uid, ok := j.proc.UID(s)
	if !ok {
		return nil
	}
	body := j.proc.Body(s)
	var earlier, lent, others bool
	var by *spec.Culprit
	j.proc.Environ(body, func(e procfs.Environ) {
		if lent = j.lent(e); lent {
			by = borrowedBy(e)
			return
		}
		earlier, by = j.goal.Cookies && j.earlierBuild(e), culprit(e)
		others = j.neighbour && j.othersBuild(e)
	})
	ofCleanup := j.within(j.cleanup, s)
	lent = lent && !ofCleanup
	stays := !earlier && !lent && (j.spared[s.PID] || j.guards(s))
	if stays && ofCleanup {
		return nil
	}
	exe, known := j.exes[s.PID]
	if !known {
		exe = j.proc.Link(body, "exe")
	}
	program := s.Name
	if exe != "" {
		program = path.Base(exe)
	}
	if lent { // whatever it is called: what the recipe keeps is this controller's
		return &leftover{program: program, evidence: "left by a loan", uid: uid, culprit: by}
	}
	if slices.Contains(j.goal.Keep, program) {
		return nil
	}
	evidence := j.evidence(suspect{s.Name, body, uid, exe}, earlier)
	if evidence == "" {
		return nil
	}
	l := &leftover{program: program, evidence: evidence, uid: uid, culprit: by}
	switch {
	case stays:
		l.stays = j.onAccount(s)
	case others:
		l.stays = "a build of another agent has started it, and another agent runs here"
	}
	return l
}

// onAccount says on whose account a process stays that is one of an agent's.
func (j *judge) onAccount(s procfs.Stat) string {
	switch {
	case j.agents[s.PID]:
		return "it runs an agent, as it seems"
	case j.guards(s):
		return "it descends from what seems to run an agent"
	}
	return "what seems to run an agent descends from it"
}

// guards reports whether a process is guarded.
func (j *judge) guards(s procfs.Stat) bool { return j.within(j.guarded, s) }

// within reports whether a process is in set. One that is younger than our list is if it descends from one that is.
func (j *judge) within(set map[int]bool, s procfs.Stat) bool {
	for {
		if _, listed := j.exes[s.PID]; listed {
			return set[s.PID]
		}
		parent, there := j.proc.Stat(s.Parent)
		if !there || parent.Start > s.Start { // it has another parent by now, or none that we see
			return set[s.Parent]
		}
		s = parent
	}
}

// suspect is a process that is judged.
type suspect struct {
	name     string
	pid, uid int // pid is the one that its files are read by
	exe      string
}

// evidence returns by what a process is owned, "" if it is not.
//
// A process of a user who is not ours is owned only if it carries the mark of an earlier build, stands in an owned
// control group, or runs a program out of an owned path; that it stands or reads there is no crime of another user.
func (j *judge) evidence(s suspect, earlier bool) string {
	switch {
	case earlier:
		return "started by an earlier build"
	case len(j.owned.Cgroups) > 0 && slices.ContainsFunc(j.proc.Cgroups(s.pid), j.owned.InCgroup):
		return "in an owned control group"
	case s.exe != "" && j.owned.Holds(s.exe) && j.isHere(s.pid, "exe", s.exe):
		return "runs out of an owned path"
	case j.users.owned(s.uid):
		if !j.elsewhere(s.pid, j.users.owned) && !j.userService(s) {
			return "of an owned user"
		}
	case s.uid == j.agentUser && j.standsInOwned(s.pid) && !j.userService(s):
		return "uses an owned path"
	case s.uid > nobody && len(j.users.names) > 0 && j.made(s.pid, j.users.owned): // no others are given out for namespaces (subuid(5))
		return "in a namespace of an owned user"
	}
	return ""
}

// elsewhere reports whether a process lives in a container, whose users only happen to have the same numbers as ours:
// in another space of process numbers, or with other mounts and another root, which none of the users has made.
func (j *judge) elsewhere(pid int, users func(uid int) bool) bool {
	space := j.proc.Link(pid, "ns/pid")
	if space != "" && j.pidSpace != "" && space != j.pidSpace {
		return !j.made(pid, users)
	}
	return !j.seesOurMounts(pid) && !j.isHere(pid, "root", "/") && !j.made(pid, users)
}

// seesOurMounts reports whether the paths of a process mean to us what they mean to it.
func (j *judge) seesOurMounts(pid int) bool {
	space := j.proc.Link(pid, "ns/mnt")
	return space == "" || j.mountSpace == "" || space == j.mountSpace
}

// isHere reports whether what a link of a process leads to is what we find by its path. That of a process with other
// mounts can be another file of the same name.
func (j *judge) isHere(pid int, link, path string) bool {
	if j.seesOurMounts(pid) {
		return true
	}
	theirs, ok := identifyLinked(j.proc.Path(pid, link))
	if !ok {
		return false
	}
	ours, ok := identify(path)
	return ok && ours == theirs
}

// userService reports whether s is the service manager of a user, which the system keeps for as long as the user has a
// session or lingers. What it was made to run is no part of it, and nothing is that the user has put into its control group
// under its name: the manager's program is the system's.
func (j *judge) userService(s suspect) bool {
	program := path.Base(s.exe)
	manager := program == "systemd"
	session := s.name == "(sd-pam)" && (program == "systemd" || program == "systemd-executor" || s.exe == "") // which only root may see
	if !manager && !session || s.exe != "" && !j.systemsProgram(s.pid) {
		return false
	}
	return slices.ContainsFunc(j.proc.Cgroups(s.pid), func(group string) bool {
		return strings.HasPrefix(group, "/user.slice/") && path.Base(group) == "init.scope"
	})
}

// systemsProgram reports whether what a process runs is a file that only root can have written.
func (j *judge) systemsProgram(pid int) bool {
	var st unix.Stat_t
	return unix.Stat(j.proc.Path(pid, "exe"), &st) == nil && st.Uid == 0 && st.Mode&(unix.S_IWGRP|unix.S_IWOTH) == 0
}

// standsInOwned reports whether a process has its directory, its root or an open file in an owned path. One that has
// other mounts than we do, as in a build's chroot, has to find the same directory by its path. What stands elsewhere is told
// by the names for nearly all; only then the process is looked at closer.
func (j *judge) standsInOwned(pid int) bool {
	if len(j.owned.Paths) == 0 {
		return false
	}
	agents := func(uid int) bool { return uid == j.agentUser && uid != 0 }
	in := func(link, to string) bool {
		return j.owned.Holds(to) && !j.elsewhere(pid, agents) && j.isHere(pid, link, to)
	}
	for _, link := range []string{"cwd", "root"} {
		if in(link, j.proc.Link(pid, link)) {
			return true
		}
	}
	found := false
	j.proc.OpenFiles(pid, func(fd, file string) bool {
		found = in("fd/"+fd, file)
		return !found
	})
	return found
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

// lent reports whether an environment is that of a loan of this very agent: the borrower's agent program, or what that
// started for the borrower's builds. This agent has none while it is cleaned.
func (j *judge) lent(e procfs.Environ) bool {
	return j.here.Agent != "" && j.here.Issuer != "" &&
		e.Get("PITCREW_LENT_AGENT") == j.here.Agent && e.Get("PITCREW_LENT_CONTROLLER") == j.here.Issuer
}

// borrowedBy names the loan that an environment tells of.
func borrowedBy(e procfs.Environ) *spec.Culprit {
	c := &spec.Culprit{Job: "loan", By: "environment"}
	if id := e.Get("PITCREW_LOAN"); isLoanID(id) {
		c.Job += " " + id
	}
	return c
}

// isLoanID reports whether a word looks like the name of a loan: a build may have set it to anything.
func isLoanID(word string) bool {
	return word != "" && len(word) <= 64 && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' && r != '-'
	})
}
