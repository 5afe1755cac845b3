// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestRootByAnotherNameIsNobodysToOwn(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	dir := open(t)
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	accounts := filepath.Join(dir, "passwd")
	if err := os.WriteFile(accounts, append(text, "toor:x:0:0::/root:/bin/sh\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(accounts, "/etc/passwd", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	plant(t, dir, "shared/of-root")
	for _, goal := range []spec.Goal{{Processes: &spec.Processes{}}, {Files: &spec.Files{Shared: []string{filepath.Join(dir, "shared")}}}, {IPC: &spec.IPC{}}} {
		step, err := scrub.New(spec.Spec{Owned: spec.Ownership{Users: []string{"toor"}}, Goal: goal}, scrub.Here{})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := scrub.Reach(t.Context(), "", step, scrub.Plan) // the result has the error as its reason
		if r.State != spec.Unmet || len(r.Found) > 0 || !strings.Contains(r.Reason, "toor is root by another name") {
			t.Errorf("%+v; want a refusal", r)
		}
	}
}

// TestNobodyElsesProgramSaysWhoIsOwned: the PATH may lead through directories of the agent's user first.
func TestNobodyElsesProgramSaysWhoIsOwned(t *testing.T) {
	asRoot(t)
	dir := open(t)
	for _, name := range []string{"getent", "fusermount3", "fusermount"} {
		script(t, dir, name, "echo games:x:54321:54321::/:/bin/sh; : >"+dir+"/was-run; exit 0\n")
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	shared := open(t)
	plant(t, shared, "ours", "others")
	for name, uid := range map[string]int{"ours": int(uidOf(t, "games")), "others": 54321} {
		if err := os.Chown(filepath.Join(shared, name), uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"games"}}, Goal: spec.Goal{Files: &spec.Files{Shared: []string{shared}}}}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.Removed != 1 || strings.Join(listing(t, shared), " ") != "others" {
		t.Errorf("%+v; left %q; want what games owns to go", r, listing(t, shared))
	}
	if err := scrub.Fusermount(t.Context(), scrub.Here{}, shared); err == nil {
		t.Errorf("%s is unmounted, where nothing is mounted", shared)
	}
	if _, err := os.Stat(filepath.Join(dir, "was-run")); err == nil {
		t.Error("a program from the PATH was run")
	}
	tools := open(t)
	script(t, tools, "fusermount", `echo "$@" >`+tools+"/told\n")
	if err := scrub.Fusermount(t.Context(), scrub.Here{Tools: []string{tools}}, "/mnt/x"); err != nil {
		t.Error(err)
	}
	if told, _ := os.ReadFile(filepath.Join(tools, "told")); string(told) != "-u -- /mnt/x\n" {
		t.Errorf("fusermount is told %q", told)
	}
}

func TestAccountsOfTheSystemAreOwnedByThatNameOnly(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	dir, shared := open(t), open(t)
	defs := filepath.Join(dir, "login.defs")
	if err := os.WriteFile(defs, []byte("# UID_MIN 1\nSYS_UID_MIN 100\nUID_MIN\t\t  500\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(defs, "/etc/login.defs", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	script(t, dir, "getent", `case "$3" in
		pitci) echo pitci:x:500:500::/:/bin/sh ;; pitdb) echo pitdb:x:499:499::/:/bin/sh ;; nobody) echo nobody:x:65534:65534::/:/bin/sh ;;
		toor) echo toor:x:0:0::/:/bin/sh ;; *) exit 2 ;; esac`)
	step := func(owned spec.Ownership) spec.Result {
		step, err := scrub.New(spec.Spec{Owned: owned, Goal: spec.Goal{Files: &spec.Files{Shared: []string{shared}}}}, scrub.Here{Tools: []string{dir}})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := scrub.Reach(t.Context(), spec.KindFiles, step, scrub.Do)
		return r
	}
	for name, why := range map[string]string{"pitci": "", "gone": "", "pitdb": "an account of the system (499, below UID_MIN 500): name it in systemUsers", "nobody": "services share"} {
		if r := step(spec.Ownership{Users: []string{name}}); (r.State == spec.Unmet) != (why != "") || !strings.Contains(r.Reason, why) {
			t.Errorf("%s: %+v; want a refusal because of %q", name, r, why)
		}
		if r := step(spec.Ownership{SystemUsers: []string{name}}); r.State != spec.Unchanged {
			t.Errorf("%s, named as an account of the system: %+v", name, r)
		}
	}
	if r := step(spec.Ownership{SystemUsers: []string{"toor"}}); !strings.Contains(r.Reason, "root by another name") {
		t.Errorf("root: %+v", r)
	}
	t.Setenv("SUDO_UID", "499")
	if r := step(spec.Ownership{Users: []string{"pitdb"}}); r.State != spec.Unchanged {
		t.Errorf("the user that the agent runs as: %+v", r)
	}
}

func TestWhatGetentAnswersHasToBeAboutTheUser(t *testing.T) {
	t.Parallel()
	tools := open(t)
	script(t, tools, "getent", "echo somebody:x:4711:4711::/:/bin/sh\n")
	step, err := scrub.New(spec.Spec{Owned: spec.Ownership{Users: []string{"ci"}}, Goal: spec.Goal{Processes: &spec.Processes{}}}, scrub.Here{Tools: []string{tools}})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := scrub.Reach(t.Context(), "", step, scrub.Plan)
	if r.State != spec.Unmet || !strings.Contains(r.Reason, "getent answers") {
		t.Errorf("%+v; want a failure", r)
	}
}

func TestGetentIsNotAskedForWhatItWouldReadInTheFile(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	dir, shared := open(t), open(t)
	script(t, dir, "getent", "echo 'out of reach' >&2; exit 1")
	services := filepath.Join(dir, "nsswitch.conf")
	if err := os.WriteFile(services, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(services, "/etc/nsswitch.conf", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		services, user string
		asked          bool
	}{
		{"passwd: files sss", "daemon", false},
		{"group: sss\n passwd:\tfiles", "daemon", false},
		{"passwd: files sss", "somebody-else", true},
		{"passwd: sss files", "daemon", true},
		{"passwd: compat", "daemon", true},
		{"passwd: files [SUCCESS=continue] sss", "daemon", true},
		{"passwd: files[SUCCESS=continue] sss", "daemon", true},
		{"passwd:", "daemon", true},
		{"", "daemon", true},
	} {
		if err := os.WriteFile(services, []byte(c.services+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{c.user}}, Goal: spec.Goal{Files: &spec.Files{Shared: []string{shared}}}}
		step, err := scrub.New(s, scrub.Here{Tools: []string{dir}})
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := scrub.Reach(t.Context(), spec.KindFiles, step, scrub.Do); strings.Contains(r.Reason, "out of reach") != c.asked {
			t.Errorf("%s with %q: %s %s", c.user, c.services, r.State, r.Reason)
		}
	}
}
