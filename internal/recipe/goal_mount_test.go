// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestMountsAreRead(t *testing.T) {
	t.Parallel()
	steps := stepsOf(t, `
  - name: a
    mount:
      - {source: "files:/export/ci", target: /srv/ci, type: nfs, options: [vers=4, hard]}
      - {target: /home/jenkins/tmp, type: tmpfs, options: [size=2g, mode=1777, nosuid], replace: true}
      - {source: /srv/ci/cache, target: /home/jenkins/.cache, options: [bind, ro]}
`)
	want := &spec.Mount{Wanted: []spec.WantedMount{
		{Source: "files:/export/ci", Target: "/srv/ci", Type: "nfs", Options: []string{"vers=4", "hard"}},
		{Target: "/home/jenkins/tmp", Type: "tmpfs", Options: []string{"size=2g", "mode=1777", "nosuid"}, Replace: true},
		{Source: "/srv/ci/cache", Target: "/home/jenkins/.cache", Options: []string{"bind", "ro"}},
	}}
	if diff := cmp.Diff(want, steps[0].Goal.Mount); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWrongMountsAreRefused(t *testing.T) {
	t.Parallel()
	got := problemsOf(`
  - {name: a, mount: [{type: tmpfs}, {target: etc, type: tmpfs}, {target: /etc, type: tmpfs}, {target: /a/, type: tmpfs}]}
  - {name: b, mount: [{target: /a, type: ext4}, {target: /b}, {target: /c, source: s, type: "a b"}]}
  - {name: c, mount: [{target: /a, source: /b, type: ext4, options: ["a,b", nofail, remount, password=x, ro, rw, suid, nosuid]}]}
  - {name: d, mount: [{target: /a, source: b, options: [bind]}, {target: /b, source: /b, options: [bind]}, {target: /c, source: /x, type: none, options: [bind, size=1g]}]}
  - {name: e, mount: [{target: /a, type: tmpfs}, {target: /a, type: proc}]}
  - {name: f, mount: [{target: /a, source: -o, type: ext4}]}
`)
	want := []string{
		`5: $.setup[0].mount[0]: the field "target" is missing`,
		`5: $.setup[0].mount[1].target: "etc": want an absolute path`,
		`5: $.setup[0].mount[2].target: the machine needs what is at /etc; mount below it`,
		`5: $.setup[0].mount[3].target: "/a/": want it clean, as "/a"`,
		`6: $.setup[1].mount[0]: the field "source" is missing`,
		`6: $.setup[1].mount[1]: the field "type" is missing; or say bind in "options" to show a directory at a second place`,
		`6: $.setup[1].mount[2].type: "a b": want a type of file systems, as nfs`,
		`7: $.setup[2].mount[0].options[0]: "a,b": want one option, without commas or blanks`,
		`7: $.setup[2].mount[0].options[1]: "nofail": this is for /etc/fstab; here it means nothing`,
		`7: $.setup[2].mount[0].options[2]: "remount": the goal is that something is mounted, not a change; leave it out`,
		`7: $.setup[2].mount[0].options[3]: "password=x": a recipe is no secret, and neither are options: have credentials in a file on the machine`,
		`7: $.setup[2].mount[0]: ro and rw exclude each other`,
		`7: $.setup[2].mount[0]: suid and nosuid exclude each other`,
		`8: $.setup[3].mount[0]: the source of a bind mount, "b": want an absolute path`,
		`8: $.setup[3].mount[1]: /b would show at its own place`,
		`8: $.setup[3].mount[2]: a bind mount has the type of what it shows; leave "type" out`,
		`8: $.setup[3].mount[2]: a bind mount takes no size=1g: that belongs to the file system it shows. Want of ro, rw, nosuid, suid, nodev, dev, noexec, exec, noatime, atime, relatime, strictatime, nodiratime, diratime`,
		`9: $.setup[4].mount[1]: something is to be mounted at /a already`,
		`10: $.setup[5].mount[0].source: "-o": want a device, a directory, or what the file system calls its server`,
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestGoalsSayInWhichPhasesTheyBelong(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 1
name: phases
clean:
  - {name: a, mount: [{target: /a, type: tmpfs}]}
  - {name: b, commands: {git: }}
setup:
  - {name: c, cron: {}}
verify:
  - {name: d, mount: [{target: /a, type: tmpfs}]}
  - {name: e, commands: {git: }}
owns: {users: [jenkins]}
`), opener(nil))
	const want = `r.yaml:4:5: $.clean[0]: mount belongs to the setup phase, or to the verify phase, where it is judged only
r.yaml:5:5: $.clean[1]: commands is judged only: it belongs to the verify phase, or to the setup phase, where nothing after it begins without it
r.yaml:7:5: $.setup[0]: cron belongs to the clean phase, or to the verify phase, where it is judged only`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}
