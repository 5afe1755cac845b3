// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// stepsOf parses a recipe with setup steps.
func stepsOf(t *testing.T, setup string, files ...File) []Step {
	t.Helper()
	text := "version: 1\nname: setup\nsetup:\n" + setup + "verify:\n  - {name: proof, run: 'true'}\n"
	r, err := Parse("r.yaml", []byte(text), opener(files))
	if err != nil {
		t.Fatal(err)
	}
	return r.Steps
}

// problemsOf are those of a recipe with setup steps, which begin on line 4: each with its line.
func problemsOf(setup string) []string {
	_, err := Parse("r.yaml", []byte("version: 1\nname: wrong\nsetup:\n"+setup+"verify:\n  - {name: proof, run: 'true'}\n"), opener(nil))
	problems, _ := errors.AsType[Problems](err)
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d: %s", p.Line, strings.SplitN(p.String(), ": ", 2)[1]))
	}
	slices.Sort(got)
	return got
}

func TestPlacedFilesKnowAllOfTheirRecipe(t *testing.T) {
	t.Parallel()
	steps := stepsOf(t, `
  - name: one
    place:
      - {path: /etc/a, content: "a", mode: 0600, owner: root, group: "0"}
      - {path: /etc/b, from: b}
  - {name: two, place: [{path: /srv/d, directory: true}, {path: /etc/a, absent: true}, {path: /etc/c, restore: true}], when: {root: true}}
`, File{Path: "b", Content: []byte("text of b")})
	all := []string{"/etc/a", "/etc/b", "/srv/d", "/etc/c"}
	want := []*spec.Place{
		{Recipe: "setup", All: all, Files: []spec.Placed{
			{Path: "/etc/a", State: spec.PlaceFile, Content: "a", Mode: "0600", Owner: "root", Group: "0"},
			{Path: "/etc/b", State: spec.PlaceFile, Content: "text of b"},
		}},
		{Recipe: "setup", All: all, Files: []spec.Placed{
			{Path: "/srv/d", State: spec.PlaceDirectory}, {Path: "/etc/a", State: spec.PlaceAbsent}, {Path: "/etc/c", State: spec.PlaceRestored},
		}},
	}
	for i, w := range want {
		read, err := spec.Read(strings.NewReader(string(steps[i].Script)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w, read.Place); diff != "" {
			t.Errorf("step %d as scrub reads it (-want +got):\n%s", i, diff)
		}
	}
}

func TestWrongPlacesAreRefused(t *testing.T) {
	t.Parallel()
	got := problemsOf(`
  - {name: a, place: [{path: etc/a, content: x}, {content: x}, {path: /etc/c}]}
  - {name: b, place: [{path: /proc/x, content: x}, {path: /etc/a, content: x, absent: true}, {path: /etc/b, absent: true, mode: 0644}]}
  - {name: c, place: [{path: /etc/a, content: "${HOME}/x ${agent}\n", template: true}, {path: /etc/b, content: "$${HOME} ${HOME}"}]}
  - {name: d, place: [{path: /etc/a, content: x, mode: 0999, owner: "a b", group: "-x"}, {path: /etc/b, directory: true, template: true}]}
  - {name: e, place: [{path: /etc/a, content: x}, {path: /etc/a, content: x}]}
  - {name: f, mounts: {}}
`)
	want := []string{
		`5: $.setup[0].place[0].path: "etc/a": want an absolute path`,
		`5: $.setup[0].place[1]: the field "path" is missing`,
		`5: $.setup[0].place[2]: what is to be there? want one of content, from, directory, absent, restore`,
		`6: $.setup[1].place[0].path: "/proc/x": all of /proc belongs to the kernel; values of /proc/sys are set by sysctl`,
		`6: $.setup[1].place[1]: content and absent exclude each other`,
		`6: $.setup[1].place[2]: mode, owner and group have no meaning beside absent`,
		`7: $.setup[2].place[0]: ${HOME} is no fact: want one of agent, arch, controller, cpus, hostname, kernel, memoryMB, os, osVersion, user in braces, or $${ for the characters ${`,
		`8: $.setup[3].place[0].mode: "0999": want an octal mode, for example 0644`,
		`8: $.setup[3].place[0].owner: "a b": want the name or number of a user`,
		`8: $.setup[3].place[0].group: "-x": want the name or number of a group`,
		`8: $.setup[3].place[1]: only the content of a file is a template`,
		`9: $.setup[4].place[1]: /etc/a is there twice`,
		`10: $.setup[5]: mounts belongs to the clean phase, or to the verify phase, where it is judged only`,
		`10: $.setup[5]: the recipe owns no paths: name them in "owns"`,
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestSetupGoalsAreRead(t *testing.T) {
	t.Parallel()
	steps := stepsOf(t, `
  - name: a
    accounts:
      groups: [mock]
      users: {jenkins: {home: /home/jenkins, shell: /bin/bash}, builds: }
      members: {jenkins: [mock, docker]}
      limits: {jenkins: {nofile: 64000}, "@mock": {nproc: unlimited}}
  - {name: b, services: {enabled: [docker], running: [docker.service, "getty@tty1"], masked: [dnf-makecache.timer]}}
  - {name: c, sysctl: {values: {fs.file-max: 64000, net/ipv6/conf/eth0.1/accept_ra: "2"}, persist: true}}
  - {name: d, modules: {loaded: [openvswitch, kvm-intel]}}
  - {name: e, commands: {git: {atLeast: "2.30"}, java: {atLeast: 17, ask: [-version]}, podman: }}
`)
	want := []spec.Goal{
		{Accounts: &spec.Accounts{
			Groups: []string{"mock"}, Users: []spec.User{{Name: "jenkins", Home: "/home/jenkins", Shell: "/bin/bash"}, {Name: "builds"}},
			Members: []spec.Member{{User: "jenkins", Group: "mock"}, {User: "jenkins", Group: "docker"}},
			Limits:  []spec.Limit{{Who: "jenkins", Item: "nofile", Value: "64000"}, {Who: "@mock", Item: "nproc", Value: "unlimited"}},
		}},
		{Services: &spec.Services{Enabled: []string{"docker"}, Running: []string{"docker.service", "getty@tty1"}, Masked: []string{"dnf-makecache.timer"}}},
		{Sysctl: &spec.Sysctl{Persist: true, Values: []spec.Value{{Name: "fs.file-max", Value: "64000"}, {Name: "net/ipv6/conf/eth0.1/accept_ra", Value: "2"}}}},
		{Modules: &spec.Modules{Loaded: []string{"openvswitch", "kvm-intel"}}},
		{Commands: &spec.Commands{Programs: []spec.Program{{Name: "git", AtLeast: "2.30"}, {Name: "java", AtLeast: "17", Ask: []string{"-version"}}, {Name: "podman"}}}},
	}
	for i, w := range want {
		if diff := cmp.Diff(w, *steps[i].Goal); diff != "" {
			t.Errorf("step %s (-want +got):\n%s", steps[i].Name, diff)
		}
		if steps[i].Outcomes[4] != StepReconnect {
			t.Errorf("step %s: exit code 4 means %q", steps[i].Name, steps[i].Outcomes[4])
		}
	}
}

func TestWrongSetupGoalsAreRefused(t *testing.T) {
	t.Parallel()
	got := problemsOf(`
  - {name: a, accounts: {groups: ["-x"], members: {"a b": [docker]}, limits: {jenkins: {nofile: many, files: 1}}}}
  - {name: b, services: {enabled: [docker], disabled: [docker], masked: [-a]}}
  - {name: c, sysctl: {values: {../x: 1, a.b: ""}}}
  - {name: d, modules: {loaded: ["../x"]}}
  - {name: e, commands: {/bin/sh: , git: {atLeast: new}}}
`)
	want := []string{
		`5: $.setup[0].accounts.groups[0]: "-x": want the name of a group`,
		`5: $.setup[0].accounts.limits.jenkins.files: unknown field "files"`,
		`5: $.setup[0].accounts.limits.jenkins.nofile: "many": want a number or unlimited`,
		`5: $.setup[0].accounts.members.a b: "a b": want the name of a user`,
		`6: $.setup[1].services.masked[0]: "-a": want the name of a unit`,
		`6: $.setup[1].services: docker cannot be enabled and disabled`,
		`7: $.setup[2].sysctl.values.../x: "../x": want the name of a value, as net.ipv4.ip_forward`,
		`7: $.setup[2].sysctl.values.a.b: want a value on one line`,
		`8: $.setup[3].modules.loaded[0]: "../x": want the name of a module`,
		`9: $.setup[4].commands./bin/sh: "/bin/sh": want the name of a program, without directories`,
		`9: $.setup[4].commands.git.atLeast: "new": want a version, as 2.30`,
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
