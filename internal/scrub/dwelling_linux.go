// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/dockerapi"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// dwelling is in which containers this program and agents live, as far as it can be told from here.
type dwelling struct {
	// ids are identities, or beginnings of such, of containers that we or agents are in.
	ids []string
	// processes are we, agents, and the ancestors of both, by numbers; none in a container, where engines count otherwise.
	processes map[int]bool
	// lost is set if this program lives in a container and cannot tell in which.
	lost bool
}

// shortID is how much of an identity engines use as the name of the machine.
const shortID, longID = 12, 64

// selfInContainers looks for signs of the containers that we and agents live in.
func selfInContainers() dwelling { return dwellingOf(procfs.Machine, "/") }

// dwellingOf looks for them below root, at the processes of proc.
func dwellingOf(proc procfs.Root, root string) dwelling {
	d := dwelling{processes: map[int]bool{}}
	text, _ := proc.Mounts(os.Getpid())
	d.ids = append(d.ids, mountedIDs(string(text))...)
	contained := len(d.ids) > 0
	for _, mark := range []string{".dockerenv", "run/.containerenv"} {
		text, err := os.ReadFile(path.Join(root, mark))
		contained = contained || err == nil
		d.ids = append(d.ids, hexes(string(text))...)
	}
	if name, _ := os.Hostname(); len(name) == shortID && isHex(name) {
		d.ids = append(d.ids, name)
	}
	d.inhabit(proc)
	if contained {
		d.processes = nil
	}
	d.lost = contained && len(d.ids) == 0
	return d
}

// inhabit adds what we and all agents live in, by their control groups and ancestors.
func (d *dwelling) inhabit(proc procfs.Root) {
	looks := &processes{proc: proc}
	parents := map[int]int{}
	alive := []int{os.Getpid()}
	var lock sync.Mutex
	_ = proc.Walk(procfs.Listing{}, func(s procfs.Stat) {
		agent := looks.isAgent(s, proc.Link(proc.Body(s), "exe"))
		lock.Lock()
		defer lock.Unlock()
		parents[s.PID] = s.Parent
		if agent {
			alive = append(alive, s.PID)
		}
	})
	for _, pid := range alive {
		above(pid, parents, d.processes)
	}
	for pid := range d.processes {
		for _, group := range proc.Cgroups(pid) {
			d.ids = append(d.ids, hexes(group)...)
		}
	}
	delete(d.processes, 1) // it is of every container that shares our process numbers
}

// mountedIDs are the identities in the places that an engine mounts a container's own files from.
func mountedIDs(mountinfo string) []string {
	var all []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		switch fields[4] {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv":
			all = append(all, hexes(fields[3])...)
		}
	}
	return all
}

// hexes are the identities in a text, which end where another sign follows: /docker/ID, libpod-ID.scope.
func hexes(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !isHex(string(r)) })
	return slices.DeleteFunc(words, func(word string) bool { return len(word) != longID })
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// holds says why a container has to survive, "" if nothing is known that lives in it.
func (d dwelling) holds(c dockerapi.Container) string {
	for _, id := range d.ids {
		if strings.HasPrefix(c.ID, id) {
			return "this program or an agent lives in it"
		}
	}
	if c.PID > 1 && d.processes[c.PID] {
		return "this program or an agent lives in it"
	}
	return ""
}
