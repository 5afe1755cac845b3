// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// sayings are what package managers that are not on this machine say, recorded from their documentation and source.
var sayings = []struct {
	manager, text, repository, name string
}{
	{"apt", "E: Unable to locate package nowhere\n", "", "nowhere"},
	{"apt", "E: Package 'gone' has no installation candidate\n", "", "gone"},
	{"apt", "Err:1 http://deb.example.org/debian bookworm InRelease\n  Could not resolve 'deb.example.org'\n", "http://deb.example.org/debian", ""},
	{"apt", "E: Failed to fetch http://deb.example.org/pool/x.deb  404  Not Found [IP: 192.0.2.1 80]\n", "http://deb.example.org/pool/x.deb", ""},
	{"apt", "dpkg: error processing package lame (--configure):\n installed lame package post-installation script subprocess returned error exit status 1\n", "", "lame"},
	{"dnf", "Error: Failed to download metadata for repo 'baseos': Cannot prepare internal mirrorlist: No URLs in mirrorlist\n", "baseos", ""},
	{"dnf", "No match for argument: nowhere\nError: Unable to find a match: nowhere\n", "", "nowhere"},
	{"dnf5", "Failed to download metadata (metalink: \"https://mirrors.example.org/\") for repository \"fedora\"\n", "fedora", ""},
	{"yum", "No package nowhere available.\nError: Nothing to do\n", "", "nowhere"},
	{"yum", "Cannot find a valid baseurl for repo: base/7/x86_64\n", "base/7/x86_64", ""},
	{"yum", "failure: repodata/repomd.xml from extras: [Errno 256] No more mirrors to try.\n", "extras", ""},
	{"zypper", "No provider of 'nowhere' found.\n", "", "nowhere"},
	{"zypper", "Repository 'repo-oss' is invalid.\nSkipping repository 'repo-oss' because of the above error.\n", "repo-oss", ""},
	{"apk", "ERROR: unable to select packages:\n  nowhere (no such package):\n    required by: world[nowhere]\n", "", "nowhere"},
	{"apk", "WARNING: fetching https://dl.example.org/alpine/v3.20/main: temporary error (try again later)\n", "https://dl.example.org/alpine/v3.20/main", ""},
}

func TestBlameIsReadFromWhatPackageManagersSay(t *testing.T) {
	t.Parallel()
	for _, c := range sayings {
		repositories, packages := scrub.Blame("Reading...\n" + c.text + "Done\n")
		if strings.Join(repositories, " ") != c.repository || strings.Join(packages, " ") != c.name {
			t.Errorf("%s says %q: blamed %q and %q; want %q and %q", c.manager, c.text, repositories, packages, c.repository, c.name)
		}
	}
	if r, p := scrub.Blame("Package lists are up to date.\nComplete!\n"); len(r)+len(p) > 0 {
		t.Errorf("blamed %q and %q; want nobody", r, p)
	}
}

// distributions are fake tools of other systems: a file have in their directory lists what is installed.
var distributions = []struct {
	manager, data string
	tools         map[string]string
	cached        []string // files that are downloaded packages
	kept          []string // files that are not
	pid           string   // where the manager writes who works, if it does so
	order         string   // how it has to be told to install
}{
	{
		"dnf", "/etc/dnf/dnf.conf",
		map[string]string{"rpm": rpmTool, "dnf": `echo "dnf $*" >>$D/calls; echo git >>$D/have`},
		[]string{"/var/cache/dnf/baseos-1a2b/packages/git-1.rpm", "/var/cache/libdnf5/fedora-1/packages/x.rpm"},
		[]string{"/var/cache/dnf/baseos-1a2b/repodata/primary.xml.gz", "/var/cache/dnf/expired_repos.json"},
		"/var/lib/dnf/rpmdb_lock.pid", "dnf -y install git",
	},
	{
		"yum", "/etc/yum.conf",
		map[string]string{"rpm": rpmTool, "yum": `echo "yum $*" >>$D/calls; echo git >>$D/have`},
		[]string{"/var/cache/yum/x86_64/7/base/packages/git-1.rpm"},
		[]string{"/var/cache/yum/x86_64/7/base/repomd.xml", "/var/cache/yum/x86_64/7/base/gen/primary_db.sqlite"},
		"/var/run/yum.pid", "yum -y install git",
	},
	{
		"zypper", "/etc/zypp/zypp.conf",
		map[string]string{"rpm": rpmTool, "zypper": `echo "zypper $*" >>$D/calls; [ -e $D/again ] || { : >$D/again; echo "System management is locked by the application with pid 4711 (zypper)."; exit 7; }; echo git >>$D/have; exit 102`},
		[]string{"/var/cache/zypp/packages/repo-oss/x86_64/git-1.x86_64.rpm"},
		[]string{"/var/cache/zypp/raw/repo-oss/repodata/repomd.xml", "/var/cache/zypp/solv/@System/solv"},
		"/var/run/zypp.pid", "zypper --non-interactive --no-refresh install git",
	},
	{
		"apk", "/lib/apk/db/installed",
		map[string]string{"apk": `[ "$1" != info ] || { shift 2; for n; do grep -qx "$n" $D/have || bad=1; done; exit ${bad-0}; }; echo "apk $*" >>$D/calls; echo git >>$D/have`},
		[]string{"/var/cache/apk/git-2.45.2-r0.1a2b3c4d.apk"},
		[]string{"/var/cache/apk/APKINDEX.066df28d.tar.gz"},
		"", "apk add --no-progress git",
	},
}

// rpmTool answers as rpm -q --whatprovides does.
const rpmTool = `[ "$1" != -qa ] || { [ ! -e $D/damaged ] || { echo "error: rpmdb: BDB0113 Thread/process failed" >&2; exit 1; }; exit 0; }
[ "$1" != --rebuilddb ] || { rm $D/damaged; exit; }
shift 2; for n; do grep -qx "$n" $D/have && echo $n-1 || { echo "no package provides $n"; bad=1; }; done; exit ${bad-0}`

// TestOtherPackageManagers runs against fakes: there is no other distribution on this machine.
func TestOtherPackageManagers(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	for _, c := range distributions {
		dir := open(t)
		for name, text := range c.tools {
			script(t, dir, name, "D="+dir+"\n"+text)
		}
		here := scrub.Here{Tools: []string{dir}}
		shell(t, "echo base >"+dir+"/have; mkdir -p "+filepath.Dir(c.data))
		for _, file := range slices.Concat(c.cached, c.kept, []string{c.data}) {
			shell(t, "mkdir -p "+filepath.Dir(file)+"; echo x >"+file)
		}
		there := packagesOf(spec.Packages{Present: []string{"base", "git"}})
		want(t, reachAt(t, packagesOf(spec.Packages{Present: []string{"base"}}), here, time.Now()), spec.Unchanged, "")
		want(t, reach(t, there, here, scrub.Judge), spec.Unmet, "git: not installed")
		if _, err := os.Stat(dir + "/calls"); err == nil {
			t.Errorf("%s was run although all is there, or by a look", c.manager)
		}
		want(t, reachAt(t, there, here, time.Now()), spec.Changed, "")
		if got := shell(t, "tail -n 1 "+dir+"/calls"); got != c.order {
			t.Errorf("told: %s; want %s", got, c.order)
		}
		want(t, reachAt(t, there, here, time.Now()), spec.Unchanged, "")
		if strings.Contains(c.tools["rpm"], "rebuilddb") {
			shell(t, "touch "+dir+"/damaged")
			want(t, reachAt(t, packagesOf(spec.Packages{Older: 1e6}), here, time.Now()), spec.Unchanged, "rpmdb is damaged: error: rpmdb: BDB0113")
			want(t, reachAt(t, packagesOf(spec.Packages{Mend: true}), here, time.Now()), spec.Changed, "")
		}
		emptied(t, c.pid, here, slices.Concat(c.kept, []string{c.data}))
		shell(t, "rm "+c.data+"; rmdir --ignore-fail-on-non-empty "+filepath.Dir(c.data))
	}
}

// emptied has caches emptied while another is at work, as a file says, and then not any more.
func emptied(t *testing.T, pid string, here scrub.Here, guards []string) {
	t.Helper()
	goal := packagesOf(spec.Packages{Size: new(int64)})
	if pid != "" {
		holder := plot{}.leave(t, "mkdir -p "+filepath.Dir(pid)+"; echo $$ >"+pid+"; echo ready; exec sleep 1000")
		results := make(chan spec.Result)
		go func() { results <- reachAt(t, goal, here, time.Now()) }()
		select {
		case r := <-results:
			t.Errorf("it did not wait for %s: %+v", pid, r)
		case <-time.After(time.Second): // as long as it is there nothing goes; that cannot be seen but by waiting
		}
		_ = holder.Process.Kill()
		_ = holder.Wait()
		want(t, <-results, spec.Changed, "")
		if _, err := os.Stat(pid); err != nil {
			t.Errorf("the lock was removed: %v", err)
		}
	} else {
		want(t, reachAt(t, goal, here, time.Now()), spec.Changed, "")
	}
	want(t, reachAt(t, goal, here, time.Now()), spec.Unchanged, "")
	for _, file := range guards {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("what is no downloaded package went: %v", err)
		}
	}
}
