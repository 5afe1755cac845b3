// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// ownEtc gives this namespace a copy of /etc and an empty /home.
func ownEtc(t *testing.T) {
	t.Helper()
	dir := copyEtc(t)
	if err := unix.Mount(dir, "/etc", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	tmpfs(t, "/home")
}

// copyEtc copies /etc. While other tests make accounts on this machine its files are replaced, and others are there for an instant: then
// it is copied again. A lock that was there means nothing in the copy.
func copyEtc(t *testing.T) (dir string) {
	t.Helper()
	var out []byte
	var err error
	for range 50 {
		dir = open(t)
		if out, err = exec.Command("cp", "-a", "/etc/.", dir).CombinedOutput(); err == nil {
			break
		}
	}
	locks, _ := filepath.Glob(dir + "/[gps]*.lock")
	for _, lock := range locks {
		err = errors.Join(err, os.Remove(lock))
	}
	if err != nil {
		t.Fatalf("copy /etc: %v: %s", err, out)
	}
	return dir
}

// guard is sure that a file of accounts is as before, but for those that are fresh.
func guard(t *testing.T, path, before string, fresh ...string) {
	t.Helper()
	var left strings.Builder
	for line := range strings.Lines(lines(t, path)) {
		name, _, _ := strings.Cut(line, ":")
		if strings.Contains(" "+strings.Join(fresh, " ")+" ", " "+name+" ") {
			continue
		}
		left.WriteString(line)
	}
	if diff := cmp.Diff(before, left.String()); diff != "" {
		t.Errorf("%s changed beyond what was asked (-before +after):\n%s", path, diff)
	}
}

func TestAccountsAreMadeByTheRealTools(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	ownEtc(t)
	passwd, group := lines(t, "/etc/passwd"), lines(t, "/etc/group")
	goal := spec.Goal{Accounts: &spec.Accounts{
		Groups:  []string{"pitmock", "root"},
		Users:   []spec.User{{Name: "pitbuild", Home: "/home/builds", Shell: "/bin/sh"}, {Name: "nobody"}},
		Members: []spec.Member{{User: "pitbuild", Group: "pitmock"}},
		Limits:  []spec.Limit{{Who: "pitbuild", Item: "nofile", Value: "64000"}},
	}}
	if r := goalReached(t, goal, scrub.Here{}, scrub.Plan); len(r.Differs) != 4 {
		t.Errorf("the plan: %+v", r)
	}
	guard(t, "/etc/passwd", passwd)
	guard(t, "/etc/group", group)
	r := reached(t, goal, scrub.Here{}, spec.Changed)
	if !r.Reconnect || !strings.Contains(r.Reason, "pitbuild") && !strings.Contains(r.Reason, "limit") {
		t.Errorf("without knowing the agent it says %+v; want it to reconnect", r)
	}
	out, err := exec.Command("id", "-Gn", "pitbuild").Output()
	if err != nil || string(out) != "pitbuild pitmock\n" {
		t.Errorf("id says %q, %v", out, err)
	}
	line, _ := exec.Command("getent", "passwd", "pitbuild").Output()
	if !strings.HasSuffix(string(line), ":/home/builds:/bin/sh\n") {
		t.Errorf("getent says %q", line)
	}
	if info, err := os.Stat("/home/builds"); err != nil || !info.IsDir() {
		t.Errorf("its home: %v", err)
	}
	guard(t, "/etc/passwd", passwd, "pitbuild")
	guard(t, "/etc/group", group, "pitbuild", "pitmock")
	// Another limit takes the place of the one about the same, and leaves others.
	goal.Accounts.Limits = []spec.Limit{{Who: "@pitmock", Item: "nproc", Value: "unlimited"}}
	reached(t, goal, scrub.Here{}, spec.Changed)
	goal.Accounts.Limits = []spec.Limit{{Who: "pitbuild", Item: "nofile", Value: "1024"}}
	reached(t, goal, scrub.Here{}, spec.Changed)
	const limits = "# Kept by pitcrew.\n@pitmock - nproc unlimited\npitbuild - nofile 1024\n"
	if got := lines(t, "/etc/security/limits.d/90-pitcrew.conf"); got != limits {
		t.Errorf("limits:\n%s", got)
	}
}

func TestAccountsOfAUserWithoutRightsAreJudgedOnly(t *testing.T) {
	if !asNobody(t) {
		return
	}
	if r := goalReached(t, spec.Goal{Accounts: &spec.Accounts{Groups: []string{"root"}, Users: []spec.User{{Name: "root"}}}}, scrub.Here{}, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("what is there: %+v", r)
	}
	r := goalReached(t, spec.Goal{Accounts: &spec.Accounts{Groups: []string{"pitmock"}}}, scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || r.Reason != "pitmock: it is not there; this needs root" {
		t.Errorf("what is not there: %+v", r)
	}
}

func TestAnAgentWithoutItsNewGroupHasToReconnect(t *testing.T) {
	t.Parallel()
	uid, groups := scrub.ParseIdentity("Name:\tjava\nUid:\t0\t1000\t0\t0\nGid:\t5\t100\t5\t5\nGroups:\t7 8 \nNgid:\t0\n")
	if diff := cmp.Diff([]string{"1000", "100", "7", "8"}, append([]string{uid}, groups...)); diff != "" {
		t.Error(diff)
	}
}

// TestServicesAreOrderedByRecordedStates has a systemctl that keeps the states of units in files.
func TestServicesAreOrderedByRecordedStates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script(t, dir, "systemctl", `cd `+dir+`
for unit; do :; done
case $1 in
show) cat "$unit" 2>/dev/null || printf 'LoadState=not-found\nActiveState=inactive\nUnitFileState=\n'; exit ;;
esac
echo "$*" >>orders
[ "$unit" != broken ] || { echo "Job for broken failed." >&2; exit 1; }
case $2 in
enable) sed -i s/=disabled/=enabled/ "$unit" ;;
disable) sed -i s/=enabled/=disabled/ "$unit" ;;
mask) printf 'LoadState=masked\nActiveState=inactive\nUnitFileState=masked\n' >"$unit" ;;
start) sed -i s/=inactive/=active/ "$unit" ;;
stop) sed -i 's/=active/=inactive/' "$unit" ;;
esac
`)
	for name, text := range map[string]string{
		"docker": "loaded inactive disabled", "timer": "loaded active enabled", "up": "loaded active static", "broken": "loaded inactive enabled",
		"hidden": "masked inactive masked", "other": "loaded inactive disabled",
	} {
		f := strings.Fields(text)
		plain := "LoadState=" + f[0] + "\nActiveState=" + f[1] + "\nUnitFileState=" + f[2] + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(plain), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(goal spec.Services) spec.Result {
		r, _ := scrub.Reach(t.Context(), spec.KindServices, scrub.NewServicesOf(goal, dir, dir), scrub.Do)
		return r
	}
	goal := spec.Services{
		Enabled: []string{"docker", "up"}, Running: []string{"docker", "up"}, Stopped: []string{"timer", "gone"},
		Disabled: []string{"timer", "gone"}, Masked: []string{"timer", "hidden"},
	}
	before := lines(t, filepath.Join(dir, "other"))
	if r := run(goal); r.State != spec.Changed || len(r.Differs) != 5 {
		t.Errorf("first: %+v", r)
	}
	const orders = "--no-ask-password disable -- timer\n--no-ask-password stop -- timer\n--no-ask-password mask -- timer\n" +
		"--no-ask-password enable -- docker\n--no-ask-password start -- docker\n"
	if got := lines(t, filepath.Join(dir, "orders")); got != orders {
		t.Errorf("orders:\n%s", got)
	}
	if r := run(goal); r.State != spec.Unchanged {
		t.Errorf("again: %+v", r)
	}
	for unit, want := range map[string]string{
		"gone": "gone: systemd knows no such unit", "hidden": "hidden: it is masked, and only a person should undo that",
		"broken": "broken: systemctl: exit code 1: Job for broken failed.",
	} {
		if r := run(spec.Services{Running: []string{unit}}); r.State != spec.Unmet || r.Reason != want {
			t.Errorf("%s: %+v; want %q", unit, r, want)
		}
	}
	if lines(t, filepath.Join(dir, "other")) != before {
		t.Error("a unit that nobody named changed")
	}
	r, _ := scrub.Reach(t.Context(), spec.KindServices, scrub.NewServicesOf(goal, dir, dir+"/none"), scrub.Do)
	if r.State != spec.Skipped || r.Reason != "systemd does not run this machine" {
		t.Errorf("without systemd: %+v", r)
	}
}

// TestModulesAreLoadedOnARecordedMachine has a modprobe that keeps its modules in a file.
func TestModulesAreLoadedOnARecordedMachine(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	plant(t, root, "proc/sys/kernel/", "lib/modules/5.14/", "bin/", "etc/modules-load.d/other.conf")
	script(t, root+"/bin", "modprobe", `[ "$2" != none ] || { echo "modprobe: FATAL: Module none not found." >&2; exit 1; }
echo "$2 16384 0 - Live 0x0" | tr - _ >>`+root+`/proc/modules`)
	for name, text := range map[string]string{
		"proc/modules": "loop 45056 0 - Live 0x0\nopenvswitch_extra 1 0 - Live 0x0\n", "proc/sys/kernel/osrelease": "5.14\n",
		"lib/modules/5.14/modules.builtin": "kernel/drivers/net/tun.ko\nkernel/x/dm-mod.ko.xz\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(goal spec.Modules) spec.Result {
		r, _ := scrub.Reach(t.Context(), spec.KindModules, scrub.NewModulesOf(goal, root), scrub.Do)
		return r
	}
	if r := run(spec.Modules{Loaded: []string{"loop", "tun", "dm_mod"}}); r.State != spec.Unchanged {
		t.Errorf("what is there: %+v", r)
	}
	goal := spec.Modules{Loaded: []string{"openvswitch", "kvm-intel"}, Persist: true}
	if r := run(goal); r.State != spec.Changed || len(r.Differs) != 4 {
		t.Errorf("what is not there: %+v", r)
	}
	if r := run(goal); r.State != spec.Unchanged {
		t.Errorf("again: %+v", r)
	}
	if got := lines(t, root+"/etc/modules-load.d/pitcrew.conf"); got != "# Kept by pitcrew.\nopenvswitch\nkvm-intel\n" {
		t.Errorf("for the next boot:\n%s", got)
	}
	if got := lines(t, root+"/etc/modules-load.d/other.conf"); got != "some text\n" {
		t.Errorf("another's file holds %q", got)
	}
	if r := run(spec.Modules{Loaded: []string{"none"}}); r.State != spec.Unmet || !strings.HasSuffix(r.Reason, "Module none not found.") {
		t.Errorf("a module that does not exist: %+v", r)
	}
}

// TestValuesOfTheKernelAreSet changes the name of a machine in a namespace of its own.
func TestValuesOfTheKernelAreSet(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	ownEtc(t)
	domain := lines(t, "/proc/sys/kernel/domainname")
	goal := spec.Goal{Sysctl: &spec.Sysctl{Persist: true, Values: []spec.Value{{Name: "kernel.hostname", Value: "pitcrew-test"}}}}
	if r := reached(t, goal, scrub.Here{}, spec.Changed); len(r.Differs) != 2 {
		t.Errorf("%+v", r)
	}
	if name, err := os.Hostname(); name != "pitcrew-test" || err != nil {
		t.Errorf("the machine is called %q, %v", name, err)
	}
	if got := lines(t, "/etc/sysctl.d/90-pitcrew.conf"); got != "# Kept by pitcrew.\nkernel.hostname = pitcrew-test\n" {
		t.Errorf("for the next boot:\n%s", got)
	}
	if got := lines(t, "/proc/sys/kernel/domainname"); got != domain {
		t.Errorf("the domain changed to %q", got)
	}
	r := goalReached(t, spec.Goal{Sysctl: &spec.Sysctl{Values: []spec.Value{{Name: "net.nosuch.value", Value: "1"}}}}, scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(r.Reason, "this kernel has no such value") {
		t.Errorf("a value that does not exist: %+v", r)
	}
}

func TestValuesNeedRights(t *testing.T) {
	if !asNobody(t) {
		return
	}
	before := lines(t, "/proc/sys/kernel/hostname")
	r := goalReached(t, spec.Goal{Sysctl: &spec.Sysctl{Values: []spec.Value{{Name: "kernel/hostname", Value: "x"}}}}, scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(r.Reason, "kernel/hostname: ") || lines(t, "/proc/sys/kernel/hostname") != before {
		t.Errorf("%+v", r)
	}
}

func TestCommandsAreFoundAndOldEnough(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	script(t, dir, "mine", "echo mine 1.0")
	judge := func(programs ...spec.Program) spec.Result {
		return goalReached(t, spec.Goal{Commands: &spec.Commands{Programs: programs}}, scrub.Here{}, scrub.Do)
	}
	if r := judge(spec.Program{Name: "sh"}, spec.Program{Name: "mine"}, spec.Program{Name: "grep", AtLeast: "2.0"}); r.State != spec.Unchanged {
		t.Errorf("what is there: %+v", r)
	}
	for want, p := range map[string]spec.Program{
		"nosuch: it is not in the PATH": {Name: "nosuch"}, "grep: it is of version ": {Name: "grep", AtLeast: "99"},
		"true: it does not tell its version": {Name: "true", AtLeast: "1", Ask: []string{"x"}}, "false: false: exit code 1": {Name: "false", AtLeast: "1", Ask: []string{"x"}},
	} {
		if r := judge(p); r.State != spec.Unmet || !strings.HasPrefix(r.Reason, want) {
			t.Errorf("%s: %+v; want %q", p.Name, r, want)
		}
	}
	if os.Getuid() != 0 {
		return
	}
	mark := filepath.Join(dir, "mark")
	script(t, dir, "mine", ": >"+mark)
	if err := os.Chown(filepath.Join(dir, "mine"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	r := judge(spec.Program{Name: "mine", AtLeast: "1"})
	if _, err := os.Stat(mark); err == nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(r.Reason, "not asked for as root, since user 65534 can change") {
		t.Errorf("a program of a user, as root: %+v, %v", r, err)
	}
}

func TestVersionsAreComparedPartByPart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"git version 2.39.5": "2.39.5", "OpenSSL 3.0.15 3 Sep 2024": "3.0.15", "v1.2-rc1": "1.2", "gcc (Debian 12.2.0-14) 12.2.0": "12.2.0", "no 7 here.": "",
	} {
		if got, _ := scrub.VersionIn(text); got != want {
			t.Errorf("%s: version %q; want %q", text, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{{"2.9", "2.30", true}, {"2.30", "2.9", false}, {"2.30", "2.30", false}, {"2.30.1", "2.30", false}, {"2", "2.1", true}, {"10.0", "9", false}} {
		if got := scrub.Older(c.a, c.b); got != c.want {
			t.Errorf("%s before %s: %v", c.a, c.b, got)
		}
	}
}
