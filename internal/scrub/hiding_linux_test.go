// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// marked are the living processes whose environment has MARK=mark, by the word of the kernel.
func marked(t *testing.T, mark string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		text, _ := os.ReadFile(file)
		status, _ := os.ReadFile(filepath.Dir(file) + "/status")
		if bytes.Contains(append([]byte{0}, text...), []byte("\x00MARK="+mark+"\x00")) && !bytes.Contains(status, []byte("State:\tZ")) {
			all = append(all, filepath.Base(filepath.Dir(file)))
		}
	}
	return all
}

// TestNobodyHidesInANamespaceOfTheirOwn: everybody may make namespaces, and what a user does in them is what that user does. What the system
// has made, as for containers, only has numbers that look like the user's.
func TestNobodyHidesInANamespaceOfTheirOwn(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	const (
		wait  = "echo; read x <$X/p"
		games = "setpriv --reuid=games --regid=games --clear-groups "
		// others begins a command that makes namespaces, as begins what is done in them; mapped gives numbers of the machine out to them.
		others = "mkfifo $X/g; chmod 666 $X/g; "
		as     = "unshare -Upf --keep-caps sh -c 'read x <$X/g; exec setpriv --reuid=7 --regid=7 --clear-groups sh -c \"" + wait + "\"' & "
		mapped = "until [ $(readlink /proc/$!/ns/user) != $(readlink /proc/self/ns/user) ]; do :; done; " +
			"echo 7 $n 1 >/proc/$!/uid_map; echo 7 $n 1 >/proc/$!/gid_map; echo >$X/g; wait"
	)
	user := uidOf(t, "games")
	for name, c := range map[string]struct {
		leave string
		ends  bool
	}{
		"a user's own processes":                    {games + "unshare -Urpf sh -c '" + wait + "'", true},
		"a user's own processes and mounts":         {games + "unshare -Urmpf sh -c 'mount -t tmpfs t /srv; cd /srv; " + wait + "'", true},
		"one in another":                            {games + "unshare -Urpf unshare -Urpf sh -c '" + wait + "'", true},
		"a user's own, with a number given to them": {others + games + as + "n=200000; " + mapped, true},
		"the system's, with the user's number":      {"exec unshare -pf " + games + "sh -c '" + wait + "'", false},
		"the system's, with a mapped number":        {others + as + "n=$(id -u games); " + mapped, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			mark := filepath.Base(filepath.Dir(p.other))
			p.leave(t, "mkfifo $X/p; chmod 666 $X/p; export MARK="+mark+"; "+c.leave)
			if len(marked(t, mark)) == 0 {
				t.Fatal("there is nothing to be found")
			}
			s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"games"}}, Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
			if plan := reachAs(t, user, s, scrub.Here{}, scrub.Plan); (len(plan.Found) == len(marked(t, mark))) != c.ends {
				t.Errorf("the user, who may end them without rights, finds %+v; want all: %v", plan.Found, c.ends)
			}
			r := reach(t, s, scrub.Here{}, scrub.Do)
			left := marked(t, mark)
			if ended := len(left) == 0; ended != c.ends {
				t.Errorf("left %v, ended: %v; want %v (%+v)", left, ended, c.ends, r)
			}
		})
	}
}

// TestOwnedPathsAreUsedFromNamespacesToo: with no user owned, what the agent's user has in an owned path is all that tells.
func TestOwnedPathsAreUsedFromNamespacesToo(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	t.Setenv("SUDO_UID", strconv.FormatUint(uint64(uidOf(t, "games")), 10))
	for name, c := range map[string]struct {
		begin string
		ends  bool
	}{
		"of the agent's user":         {"setpriv --reuid=games --regid=games --clear-groups unshare -Urpf ", true},
		"of the system, as that user": {"unshare -pf setpriv --reuid=games --regid=games --clear-groups ", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			mark := filepath.Base(filepath.Dir(p.other))
			p.leave(t, "mkfifo $X/p; chmod 666 $X/p; export MARK="+mark+"; cd $O; exec "+c.begin+"sh -c 'exec </dev/null; echo; read x <$X/p'")
			s := spec.Spec{Owned: spec.Ownership{Paths: []string{p.owned}}, Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
			r := reach(t, s, scrub.Here{}, scrub.Do)
			left := marked(t, mark)
			if ended := len(left) == 0; ended != c.ends {
				t.Errorf("left %v, ended: %v; want %v (%+v)", left, ended, c.ends, r)
			}
		})
	}
}
