// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// journald is the real one, at work in directories of the test's own; it leaves four archived files and the current one.
const journald = `
rm -rf /var/log/journal; mkdir -p /var/log/journal /run/systemd/journal
[ -s /etc/machine-id ] || echo 0123456789abcdef0123456789abcdef >/etc/machine-id
/lib/systemd/systemd-journald 2>/dev/null & daemon=$!
wait_for() { n=0; until "$@"; do n=$((n+1)); [ $n -lt 600 ] || { echo "gave up on $*"; exit 1; }; sleep 0.1; done; }
wait_for test -S /run/systemd/journal/stdout
dir=/run/log/journal/$(cat /etc/machine-id)
archives() { ls $dir | grep -c @; }
has() { [ "$(archives)" -ge "$1" ]; }
for i in 1 2 3 4; do
	head -c 50000 /dev/urandom | base64 | systemd-cat -t test
	journalctl --sync >/dev/null 2>&1 || true
	kill -USR2 $daemon
	wait_for has $i
done
kill $daemon; wait $daemon || true
echo $dir`

func journalOf(goal spec.Journal) spec.Spec {
	return spec.Spec{Version: spec.Version, Name: "journal", Goal: spec.Goal{Journal: &goal}}
}

func TestArchivedJournalsGoByAgeAndSize(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	dir := shell(t, journald)
	files := strings.Fields(shell(t, "ls -tr "+dir+"/*@*"))
	other := "/run/log/journal/ffffffffffffffffffffffffffffffff"
	shell(t, "mkdir "+other+"; cp "+files[0]+" "+other+"/; touch -d '90 days ago' "+files[0]+" "+other+"/*; touch -d '20 days ago' "+files[1])
	age := journalOf(spec.Journal{Older: 14 * 24 * 60 * 60})
	want(t, reach(t, journalOf(spec.Journal{Older: 100 * 24 * 60 * 60}), scrub.Here{}, scrub.Do), spec.Unchanged, "")
	want(t, reach(t, age, scrub.Here{}, scrub.Plan), spec.Planned, "")
	want(t, reach(t, age, scrub.Here{}, scrub.Judge), spec.Unmet, files[0])
	if got := shell(t, "ls "+dir+" | wc -l"); got != "5" {
		t.Fatalf("%s files after a look; want 5", got)
	}
	r := reach(t, age, scrub.Here{}, scrub.Do)
	want(t, r, spec.Changed, "")
	if r.Removed != 2 || r.Bytes == 0 {
		t.Errorf("%d gone with %d bytes; want both that are too old", r.Removed, r.Bytes)
	}
	want(t, reach(t, age, scrub.Here{}, scrub.Do), spec.Unchanged, "")
	if got := shell(t, "ls "+dir+"/*@*; ls "+other+" | wc -l"); got != files[2]+"\n"+files[3]+"\n1" && got != files[3]+"\n"+files[2]+"\n1" {
		t.Errorf("left:\n%s\nwant %s, %s and one file of another machine", got, files[2], files[3])
	}
	size := journalOf(spec.Journal{Size: 1 << 20})
	want(t, reach(t, size, scrub.Here{}, scrub.Do), spec.Changed, "")
	want(t, reach(t, size, scrub.Here{}, scrub.Do), spec.Unchanged, "")
	if got := shell(t, "ls "+dir); got != "system.journal" {
		t.Errorf("left:\n%s\nwant the current file", got)
	}
	want(t, reach(t, size, scrub.Here{Tools: []string{"/nowhere"}}, scrub.Do), spec.Skipped, "journalctl")
}
