// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestNamesOfRotatedLogs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"messages-20240131": true, "messages-20240131.gz": true, "syslog.1": true, "syslog.2.gz": true, "dmesg.0": true, "boot.log-20240131": true,
		"app.20240131": true, "access.log.20240131T1200": false, "Xorg.0.log.old": true, "x.xz": true, "daemon.log-2024013112": true,
		"messages": false, "boot.log": false, "Xorg.0.log": false, ".gz": false, ".1": false, "app-2": false, "release-12345678": false,
		"php7.4": true /* of a file that is called so; the age decides */, "v1.2024": false, "10.0.0.12345": false, "lastlog": false, "wtmp": false, "wtmp.1": true,
	} {
		if got := scrub.IsRotated(name); got != want {
			t.Errorf("%s: rotated %v; want %v", name, got, want)
		}
	}
}

func logsOf(goal spec.Logs) spec.Spec {
	return spec.Spec{Version: spec.Version, Name: "logs", Goal: spec.Goal{Logs: &goal}}
}

func TestOldRotatedLogsGoAndOthersStay(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, `rm -rf /var/log/*; mkdir -p /var/log/app /var/log/other /var/log/keep /opt/logs; cd /var/log
mount -t tmpfs none /var/log/other
for f in syslog syslog.1 syslog.2.gz app/x.log app/x.log-20240131 app/held.1 other/y.1 keep/z.1 wtmp btmp app/kept.1 /opt/logs/o.1; do head -c 5000 /dev/zero >$f; touch -d '40 days ago' $f; done
head -c 5000 /dev/zero >fresh.1; ln -s /opt/logs linked; ln -s /opt/logs/o.1 link.1; touch -h -d '40 days ago' link.1; mkdir dir.1; touch -d '40 days ago' dir.1
: >lastlog`)
	plot{}.leave(t, "exec 3>>/var/log/app/held.1; touch -d '40 days ago' /var/log/app/held.1; echo ready; exec sleep 1000")
	s := logsOf(spec.Logs{Older: 30 * 24 * 60 * 60, Keep: []string{"keep", "kept.*"}})
	list := func() string {
		return shell(t, "cd /var/log; find . ! -type d -printf '%p %s\n' | sort; ls -A /opt/logs")
	}
	before := list()
	want(t, reach(t, s, scrub.Here{}, scrub.Plan), spec.Planned, "held.1 stays: a process has it open")
	want(t, reachAs(t, uidOf(t, "nobody"), s, scrub.Here{}, scrub.Do), spec.Unchanged, "")
	if got := list(); got != before {
		t.Fatalf("a look, or somebody else, changed\n%s\nto\n%s", before, got)
	}
	r := reach(t, s, scrub.Here{}, scrub.Do)
	want(t, r, spec.Changed, "")
	if r.Removed != 3 || r.Bytes < 15000 {
		t.Errorf("%d gone with %d bytes; want 3: %+v", r.Removed, r.Bytes, r.Found)
	}
	const left = "./app/held.1 5000\n./app/kept.1 5000\n./app/x.log 5000\n./btmp 5000\n./fresh.1 5000\n./keep/z.1 5000\n./lastlog 0\n./link.1 13\n./linked 9\n./other/y.1 5000\n./syslog 5000\n"
	if got := list(); got != left+"./wtmp 5000\no.1" {
		t.Errorf("left:\n%s", got)
	}
	want(t, reach(t, s, scrub.Here{}, scrub.Do), spec.Unchanged, "")
	shell(t, "rm /var/log/btmp; ln -s /opt/logs/o.1 /var/log/btmp; stat -c %i /var/log/wtmp >/opt/inode")
	s.Logs.Logins = 6000
	want(t, reach(t, s, scrub.Here{}, scrub.Do), spec.Unchanged, "")
	s.Logs.Logins = 1000
	want(t, reach(t, s, scrub.Here{}, scrub.Do), spec.Changed, "")
	if got := shell(t, "stat -c '%i %s' /var/log/wtmp; stat -c %s /opt/logs/o.1"); got != shell(t, "cat /opt/inode")+" 0\n5000" {
		t.Errorf("records: %s; want the same file, emptied, and what btmp leads to as it was", got)
	}
}

// TestNoLinkOfAUserLeadsToRecordsElsewhere: an owned directory of logs can lie where a user may put a link in its place.
func TestNoLinkOfAUserLeadsToRecordsElsewhere(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, `mkdir -p /opt/ci /opt/elsewhere; cd /opt; head -c 5000 /dev/zero >elsewhere/wtmp; ln -s /opt/elsewhere ci/logs; chown -h nobody ci ci/logs`)
	s := logsOf(spec.Logs{Paths: []string{"/opt/ci/logs"}, Older: 30 * 24 * 60 * 60, Logins: 1000})
	want(t, reach(t, s, scrub.Here{}, scrub.Do), spec.Unmet, "leads through a link that is not root's")
	if got := shell(t, "stat -c %s /opt/elsewhere/wtmp"); got != "5000" {
		t.Errorf("the record elsewhere has %s bytes; want 5000", got)
	}
}

// TestAUsersOwnRotatedLogsGo is about one who is not root.
func TestAUsersOwnRotatedLogsGo(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	nobody := uidOf(t, "nobody")
	shell(t, `mkdir -p /opt/logs; cd /opt/logs; touch own.1 roots.1; chown nobody . own.1; touch -d '40 days ago' *`)
	s := logsOf(spec.Logs{Paths: []string{"/opt/logs"}, Older: 30 * 24 * 60 * 60})
	want(t, reachAs(t, nobody, s, scrub.Here{}, scrub.Plan), spec.Planned, "processes of others may have logs open")
	want(t, reachAs(t, nobody, s, scrub.Here{}, scrub.Do), spec.Changed, "")
	if got := shell(t, "ls /opt/logs"); got != "roots.1" {
		t.Errorf("left: %s", got)
	}
}
