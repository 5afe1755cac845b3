// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// ownRoot is ownNamespaces with a root file system that can be written to without any trace.
func ownRoot(t *testing.T) bool {
	t.Helper()
	if testing.Short() {
		t.Skip("mostly runs other programs; left to the longer run")
	}
	if !ownNamespaces(t) {
		return false
	}
	dir := open(t)
	err := errors.Join(unix.Mount("none", dir, "tmpfs", 0, ""), unix.Mount("none", "/run", "tmpfs", 0, "mode=755"))
	for _, name := range []string{"etc", "home", "opt", "usr", "var"} {
		upper, work := filepath.Join(dir, name), filepath.Join(dir, name+".work")
		err = errors.Join(err, os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755),
			unix.Mount("overlay", "/"+name, "overlay", 0, "lowerdir=/"+name+",upperdir="+upper+",workdir="+work))
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// repository makes this machine one that has one package, and whose apt knows nothing but packages of the test's: probe, which provides
// pitcrew-virtual, fragile, whose installation fails until /opt/mended is there, and killed, which kills dpkg.
const repository = `
rm -rf /var/lib/dpkg; mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/dpkg/triggers /var/lib/dpkg/parts
printf 'Package: dpkg\nStatus: install ok installed\nMaintainer: Dpkg Developers\nArchitecture: %s\nVersion: 1.21\nDescription: Debian package management system\n\n' \
	"$(dpkg --print-architecture)" >/var/lib/dpkg/status
rm -rf /etc/apt; mkdir -p /etc/apt/apt.conf.d /etc/apt/preferences.d /var/lib/apt /var/cache/apt /opt/repository
rm -rf /var/lib/apt/lists /var/cache/apt/*; mkdir -p /var/cache/apt/archives/partial
echo 'deb [trusted=yes] file:/opt/repository ./' >/etc/apt/sources.list
package() { # name, script that configures it
	mkdir -p /opt/made/$1/DEBIAN /opt/made/$1/opt/$1
	echo of $1 >/opt/made/$1/opt/$1/file
	printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: pitcrew <ci@example.org>\nDescription: made for a test\nProvides: %s-virtual\n' $1 $1 >/opt/made/$1/DEBIAN/control
	printf '#!/bin/sh\n%s\n' "$2" >/opt/made/$1/DEBIAN/postinst
	chmod 755 /opt/made/$1/DEBIAN/postinst
	dpkg-deb --build /opt/made/$1 /opt/repository/$1.deb >/dev/null
	{
		dpkg-deb --field /opt/repository/$1.deb
		printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' $1 "$(stat -c %s /opt/repository/$1.deb)" "$(sha256sum </opt/repository/$1.deb | cut -d' ' -f1)"
	} >>/opt/repository/Packages
}
package pitcrew-probe 'exit 0'
package pitcrew-fragile 'test -e /opt/mended'
package pitcrew-killed 'test -e /opt/mended || kill -KILL $PPID'
`

// shell runs a script on the machine.
func shell(t *testing.T, script string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-euc", script)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// installed are the packages of the machine by the file of dpkg, read by nothing of the code under test.
func installed(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		if strings.Contains(paragraph, "\nStatus: install ok installed\n") {
			name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(paragraph), "Package: "), "\n")
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// counted are tools of which apt-get notes each call in a file.
func counted(t *testing.T) (here scrub.Here, calls func() string) {
	t.Helper()
	dir := open(t)
	script(t, dir, "apt-get", "echo \"$*\" >>"+dir+"/calls; exec /usr/bin/apt-get \"$@\"")
	return scrub.Here{Tools: []string{dir, "/usr/bin"}}, func() string {
		text, err := os.ReadFile(filepath.Join(dir, "calls"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(text)
	}
}

func packagesOf(goal spec.Packages) spec.Spec {
	return spec.Spec{Version: spec.Version, Name: "packages", Goal: spec.Goal{Packages: &goal}}
}

// want fails the test unless a step came to a state, with a text in its reason, notes or problems.
func want(t *testing.T, r spec.Result, state spec.State, text string) {
	t.Helper()
	said := r.Reason + "\n" + strings.Join(r.Notes, "\n")
	for _, p := range r.Problems {
		said += "\n" + p.ID + ": " + p.Why
	}
	if r.State != state || !strings.Contains(said, text) {
		t.Errorf("%s, saying:\n%s\nwant %s and %q\nfound %+v", r.State, said, state, text, r.Found)
	}
}

func TestPackagesAreInstalledOnceAndOnlyThose(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, repository)
	here, calls := counted(t)
	before := installed(t)
	s := packagesOf(spec.Packages{Present: []string{"pitcrew-probe", "dpkg"}})
	want(t, reach(t, s, here, scrub.Judge), spec.Unmet, "pitcrew-probe: ")
	want(t, reach(t, s, here, scrub.Plan), spec.Planned, "")
	want(t, reachAs(t, uidOf(t, "nobody"), s, here, scrub.Plan), spec.Planned, "")
	want(t, reachAs(t, uidOf(t, "nobody"), s, here, scrub.Do), spec.Unmet, "only root")
	if got := calls(); got != "" || !slices.Equal(installed(t), before) {
		t.Fatalf("apt-get was run by a look: %s", got)
	}
	want(t, reach(t, s, here, scrub.Do), spec.Changed, "")
	after := slices.Sorted(slices.Values(append(before, "pitcrew-probe")))
	if got := installed(t); !slices.Equal(got, after) {
		t.Errorf("installed %d packages; want those of before and one more (%d)", len(got), len(after))
	}
	if text, err := os.ReadFile("/opt/pitcrew-probe/file"); err != nil || string(text) != "of pitcrew-probe\n" {
		t.Errorf("its file: %q, %v", text, err)
	}
	done := calls()
	shell(t, "rm -rf /opt/repository /var/lib/apt/lists") // no network, as it were
	s.Packages.Present = append(s.Packages.Present, "pitcrew-probe-virtual", "pitcrew-probe:all")
	want(t, reach(t, s, here, scrub.Do), spec.Unchanged, "")
	want(t, reachAs(t, uidOf(t, "nobody"), s, here, scrub.Do), spec.Unchanged, "")
	if got := calls(); got != done {
		t.Errorf("apt-get was run although all is there:\n%s", strings.TrimPrefix(got, done))
	}
}

func TestAFailedInstallationNamesWhoIsToBlame(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, repository)
	here, calls := counted(t)
	do := func(names ...string) spec.Result {
		return reachAt(t, packagesOf(spec.Packages{Present: names}), here, time.Now())
	}
	want(t, do("pitcrew-nowhere", "pitcrew-probe"), spec.Unmet, "package pitcrew-nowhere: ")
	if n := strings.Count(calls(), "install pitcrew-nowhere"); n != 2 {
		t.Errorf("installing what no repository has was tried %d times; want once more after a refresh:\n%s", n, calls())
	}
	want(t, do("pitcrew-fragile"), spec.Unmet, "package pitcrew-fragile")
	shell(t, "echo 'deb [trusted=yes] http://127.0.0.1:1/debian bookworm main' >>/etc/apt/sources.list; rm -rf /var/lib/apt/lists")
	before := calls()
	want(t, do("pitcrew-nowhere"), spec.Unmet, "repository http://127.0.0.1:1/debian")
	if n := strings.Count(strings.TrimPrefix(calls(), before), "install pitcrew-nowhere"); n != 3 {
		t.Errorf("installing was tried %d times beside a repository that does not answer; want 3", n)
	}
	want(t, do("bash=1"), spec.Unmet, "without a version")
	want(t, do("-y"), spec.Unmet, "want the name of a package")
}

// reachAt has a step done in this process at some time.
func reachAt(t *testing.T, s spec.Spec, here scrub.Here, now time.Time) spec.Result {
	t.Helper()
	r, _ := scrub.Reach(t.Context(), s.Kind(), scrub.NewPackagesAt(s, here, now), scrub.Do)
	return r
}

// locking holds a lock as dpkg does, until it is killed.
func locking(t *testing.T, file string) *exec.Cmd {
	t.Helper()
	return plot{}.leave(t, `exec python3 -c '
import fcntl, sys, time
lock = open("`+file+`", "a")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("ready", flush=True)
time.sleep(1000)'`)
}

func TestLocksAreWaitedForAndNeverRemoved(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, repository+"cp /opt/repository/*.deb /var/cache/apt/archives/; touch /var/cache/apt/archives/lock /var/lib/dpkg/lock-frontend")
	for _, c := range []struct {
		lock string
		goal spec.Packages
	}{
		{"/var/cache/apt/archives/lock", spec.Packages{Size: new(int64)}},
		{"/var/lib/dpkg/lock-frontend", spec.Packages{Size: new(int64)}},
	} {
		shell(t, "cp /opt/repository/*.deb /var/cache/apt/archives/")
		holder := locking(t, c.lock)
		before := shell(t, "stat -c %i "+c.lock)
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan spec.Result)
		go func(ctx context.Context) {
			r, _ := scrub.Reach(ctx, spec.KindPackages, scrub.NewPackagesAt(packagesOf(c.goal), scrub.Here{}, time.Now()), scrub.Do)
			results <- r
		}(ctx)
		waits := func() bool { return len(holding(t, c.lock)) >= 2 }
		until(t, waits)
		cancel()
		want(t, <-results, spec.Unmet, c.lock+" is locked by process "+shell(t, "pgrep -n python3")+" (python3)")
		go func() {
			r, _ := scrub.Reach(t.Context(), spec.KindPackages, scrub.NewPackagesAt(packagesOf(c.goal), scrub.Here{}, time.Now()), scrub.Do)
			results <- r
		}()
		until(t, waits)
		if names := shell(t, "ls /var/cache/apt/archives/"); !strings.Contains(names, ".deb") || !lives(holder) {
			t.Errorf("it did not wait: %s", names)
		}
		_ = holder.Process.Kill()
		want(t, <-results, spec.Changed, "")
		if got := shell(t, "stat -c %i "+c.lock+"; ls -A /var/cache/apt/archives"); got != before+"\nlock\npartial" {
			t.Errorf("afterwards: %s; want the lock %s and nothing else", got, before)
		}
	}
}

// TestInstallingWaitsForTheLock has apt-get wait itself, as long as the step may.
func TestInstallingWaitsForTheLock(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, repository+"apt-get -q update")
	dir := open(t)
	script(t, dir, "apt-get", "exec /usr/bin/apt-get \"$@\" -o Debug::Locking=true 2>"+dir+"/said") // at times it does not say that it waits
	here := scrub.Here{Tools: []string{dir, "/usr/bin"}}
	holder := locking(t, "/var/lib/dpkg/lock-frontend")
	results := make(chan spec.Result)
	install := func(ctx context.Context) {
		_ = os.Remove(dir + "/said") // of the last time
		go func() {
			r, _ := scrub.Reach(ctx, spec.KindPackages, scrub.NewPackagesAt(packagesOf(spec.Packages{Present: []string{"pitcrew-probe"}}), here, time.Now()), scrub.Do)
			results <- r
		}()
		until(t, func() bool {
			select {
			case r := <-results:
				t.Fatalf("it did not wait: %+v", r)
			default:
			}
			said, _ := os.ReadFile(dir + "/said")
			return strings.Contains(string(said), "Lock: /var/lib/dpkg/lock-frontend wait -1")
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	install(ctx)
	cancel()
	want(t, <-results, spec.Unmet, "/var/lib/dpkg/lock-frontend is locked by process "+shell(t, "pgrep -n python3")+" (python3)")
	install(t.Context())
	_ = holder.Process.Kill()
	r := <-results
	want(t, r, spec.Changed, "")
	if r.Removed != 0 || len(r.Found) > 0 || len(r.Differs) != 1 {
		t.Errorf("%+v; a package that was missing is no residue, and nothing has gone", r)
	}
	if !slices.Contains(installed(t), "pitcrew-probe") {
		t.Error("it is not installed")
	}
}

func TestInterruptedTransactionsAreReportedOrMended(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, repository+`dpkg -i /opt/repository/pitcrew-probe.deb >/dev/null
dpkg -i /opt/repository/pitcrew-fragile.deb /opt/repository/pitcrew-killed.deb >/dev/null 2>&1 && exit 1; true`)
	before := installed(t)
	ask := packagesOf(spec.Packages{Older: 10 * 24 * 60 * 60})
	mend := packagesOf(spec.Packages{Mend: true})
	want(t, reach(t, ask, scrub.Here{}, scrub.Do), spec.Unchanged, "pitcrew-fragile is half-configured")
	want(t, reach(t, mend, scrub.Here{}, scrub.Judge), spec.Unmet, "pitcrew-killed: ")
	if !slices.Equal(installed(t), before) {
		t.Fatal("what was to be reported only was changed")
	}
	want(t, reachAs(t, uidOf(t, "nobody"), mend, scrub.Here{}, scrub.Do), spec.Unmet, "only root")
	want(t, reach(t, mend, scrub.Here{}, scrub.Do), spec.Unmet, "dpkg")
	shell(t, "touch /opt/mended")

	// Another is at work: what it has not done yet is no interruption.
	holder := locking(t, "/var/lib/dpkg/lock-frontend")
	want(t, reach(t, mend, scrub.Here{}, scrub.Plan), spec.Planned, "")
	results := make(chan spec.Result)
	go func() { results <- reachAt(t, mend, scrub.Here{}, time.Now()) }()
	until(t, func() bool { return len(holding(t, "/var/lib/dpkg/lock-frontend")) >= 2 })
	if !slices.Equal(installed(t), before) {
		t.Error("it did not wait")
	}
	_ = holder.Process.Kill()
	want(t, <-results, spec.Changed, "")
	after := slices.Sorted(slices.Values(append(before, "pitcrew-fragile", "pitcrew-killed")))
	if got := installed(t); !slices.Equal(got, after) {
		t.Errorf("installed %q...; want both that were interrupted", got[max(0, len(got)-5):])
	}
	if left := shell(t, "ls /var/lib/dpkg/updates"); left != "" {
		t.Errorf("dpkg has left to do: %s", left)
	}
	want(t, reach(t, mend, scrub.Here{}, scrub.Do), spec.Unchanged, "")
}

func TestDownloadedPackagesGoByAgeAndSize(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	// Their own times are those of the server's files and say nothing.
	shell(t, repository+`cd /var/cache/apt/archives
for name in a b c; do head -c 100000 /dev/zero >$name.deb; touch -d 2001-01-01 $name.deb; done
head -c 100000 /dev/zero >partial/d.deb; touch keep.txt lock; mkdir -p x.deb/y; ln -s /opt/repository link.deb; touch x.deb/y/z.deb
mkdir -p /var/lib/apt/lists/partial; touch /var/lib/apt/lists/list`)
	guards := "/var/cache/apt/archives/keep.txt /var/cache/apt/archives/x.deb/y/z.deb /var/lib/apt/lists/list /opt/repository/pitcrew-probe.deb /var/cache/apt/archives/link.deb"
	now := time.Now()
	age := packagesOf(spec.Packages{Older: 24 * 60 * 60})
	want(t, reachAt(t, age, scrub.Here{}, now.Add(23*time.Hour)), spec.Unchanged, "")
	size := packagesOf(spec.Packages{Size: new(int64(250_000))})
	r := reachAt(t, size, scrub.Here{}, now)
	want(t, r, spec.Changed, "")
	if r.Removed != 2 || r.Bytes < 200_000 {
		t.Errorf("%d gone with %d bytes; want the two oldest", r.Removed, r.Bytes)
	}
	if got := shell(t, "find /var/cache/apt/archives -type f -name '*.deb' | sort"); got != "/var/cache/apt/archives/c.deb\n/var/cache/apt/archives/partial/d.deb\n/var/cache/apt/archives/x.deb/y/z.deb" {
		t.Errorf("left:\n%s", got)
	}
	want(t, reachAt(t, size, scrub.Here{}, now), spec.Unchanged, "")
	want(t, reachAt(t, age, scrub.Here{}, now.Add(25*time.Hour)), spec.Changed, "")
	if got := shell(t, "ls -d "+guards+"; ls -A /var/cache/apt/archives/partial"); strings.Count(got, "\n") != 4 {
		t.Errorf("left:\n%s", got)
	}
}
