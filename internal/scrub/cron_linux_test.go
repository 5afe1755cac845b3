// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

const spools = `
echo 'ci:x:4001:4001::/home/ci:/bin/sh' >>/etc/passwd
echo 'ci2:x:4002:4002::/home/ci2:/bin/sh' >>/etc/passwd
mkdir -p /var/spool/cron/crontabs /var/spool/cron/tabs /var/spool/cron/atjobs /var/spool/at
cd /var/spool/cron
for name in ci ci2 ci.bak my-ci; do echo '* * * * * x' >$name; cp $name crontabs/; cp $name tabs/; done
ln -s /etc/passwd crontabs/ci.link
for job in a0000f01a2b3c4 =0001001a2b3c4 a0000g01a2b3c4 .SEQ; do echo x >atjobs/$job; chown 4001 atjobs/$job; done
echo x >atjobs/b0001101a2b3c4; chown 4002 atjobs/b0001101a2b3c4
echo x >/var/spool/at/a0001201a2b3c4; chown 4001 /var/spool/at/a0001201a2b3c4
chmod 1730 crontabs; chmod 1770 atjobs`

const othersSpools = `/var/spool/at:

/var/spool/cron:
atjobs
ci.bak
ci2
crontabs
my-ci
tabs

/var/spool/cron/atjobs:
.SEQ
a0000g01a2b3c4
b0001101a2b3c4

/var/spool/cron/crontabs:
ci.bak
ci.link
ci2
my-ci

/var/spool/cron/tabs:
ci.bak
ci2
my-ci`

func cronOf(users ...string) spec.Spec {
	return spec.Spec{Version: spec.Version, Name: "cron", Owned: spec.Ownership{Users: users}, Goal: spec.Goal{Cron: &spec.Cron{}}}
}

func TestWhatOwnedUsersOrderedForLaterGoes(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, spools+"; find /var/spool/at /var/spool/cron -type f -exec touch -d '1 hour ago' {} +")
	list := func() string {
		return shell(t, "for d in /var/spool/at /var/spool/cron /var/spool/cron/atjobs /var/spool/cron/crontabs /var/spool/cron/tabs; do echo $d:; ls -A $d; echo; done")
	}
	before := list()
	s := cronOf("ci", "nobody-of-that-name")
	want(t, reach(t, s, scrub.Here{}, scrub.Plan), spec.Planned, "")
	want(t, reachAs(t, uidOf(t, "nobody"), s, scrub.Here{}, scrub.Do), spec.Unmet, "what ci has ordered for later: only root and ci may see it")
	if got := list(); got != before {
		t.Fatalf("a look changed\n%s\nto\n%s", before, got)
	}
	r := reach(t, s, scrub.Here{}, scrub.Do)
	want(t, r, spec.Changed, "")
	for _, f := range r.Found {
		if f.Bytes == 0 || f.Age < 3600 || f.Age > 7200 {
			t.Errorf("%+v; want its size, and that it is an hour old", f)
		}
	}
	if r.Removed != 6 {
		t.Errorf("%d gone; want three crontabs and three jobs: %+v", r.Removed, r.Found)
	}
	if got := list(); got != othersSpools {
		t.Errorf("left:\n%s\nwant:\n%s", got, othersSpools)
	}
	want(t, reach(t, s, scrub.Here{}, scrub.Do), spec.Unchanged, "")
}

// TestCronsOwnProgramsAreUsed has fakes of crontab, atq and atrm.
func TestCronsOwnProgramsAreUsed(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, spools)
	dir := open(t)
	shell(t, "touch "+dir+"/log; chmod 666 "+dir+"/log; touch "+dir+"/table "+dir+"/queue; chmod 777 "+dir)
	script(t, dir, "crontab", "D="+dir+`
case "$1" in -l) test -e $D/table ;; *) echo "crontab $*" >>$D/log; rm -f $D/table ;; esac`)
	script(t, dir, "atq", "D="+dir+`
test ! -e $D/queue || printf '15\tSun Nov 29 20:00:00 2026 a ci\n16\tSun Nov 29 20:00:00 2026 a ci2\n'`)
	script(t, dir, "atrm", "D="+dir+`
echo "atrm $*" >>$D/log; rm -f $D/queue`)
	here := scrub.Here{Tools: []string{dir}}
	want(t, reachAs(t, 4001, cronOf("ci"), here, scrub.Do), spec.Changed, "")
	if got := shell(t, "cat "+dir+"/log; : >"+dir+"/log"); got != "crontab -r\natrm 15" {
		t.Errorf("a user's own were cancelled by:\n%s", got)
	}
	want(t, reachAs(t, 4001, cronOf("ci"), here, scrub.Do), spec.Unchanged, "")
	want(t, reach(t, cronOf("ci"), here, scrub.Do), spec.Changed, "")
	if got := shell(t, "sort -u "+dir+"/log"); got != "atrm 15\natrm 16\natrm 18\ncrontab -u ci -r" {
		t.Errorf("root cancelled by:\n%s", got)
	}
}
