// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestOwnershipIsAPathWithItsSeparator(t *testing.T) {
	t.Parallel()
	o := spec.Ownership{Paths: []string{"/srv/ci"}, Cgroups: []string{"/ci.slice"}, Names: []string{"vdsm-test-*", "lago"}}
	for p, want := range map[string][2]bool{ // holds, below
		"/srv/ci":        {true, false},
		"/srv/ci/a":      {true, true},
		"/srv/ci-data":   {false, false},
		"/srv/ci-data/a": {false, false},
		"/srv":           {false, false},
		"/":              {false, false},
	} {
		if got := [2]bool{o.Holds(p), o.Below(p)}; got != want {
			t.Errorf("%s: holds, below = %v; want %v", p, got, want)
		}
	}
	for group, want := range map[string]bool{"/ci.slice": true, "/ci.slice/job": true, "/ci.slice2": false, "/": false} {
		if got := o.InCgroup(group); got != want {
			t.Errorf("control group %s: owned %v; want %v", group, got, want)
		}
	}
	for name, want := range map[string]bool{"vdsm-test-1": true, "lago": true, "lago2": false, "my-vdsm-test-1": false, "": false} {
		if got := o.Named(name); got != want {
			t.Errorf("name %q: owned %v; want %v", name, got, want)
		}
	}
}

func TestDangerousOwnershipIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		owned spec.Ownership
		want  string // a part of the one problem; "" for none
	}{
		{spec.Ownership{Paths: []string{"/home/jenkins/workspace", "/var/lib/mock"}}, ""},
		{spec.Ownership{Paths: []string{"/"}}, "others have things there"},
		{spec.Ownership{Paths: []string{"/home"}}, "others have things there"},
		{spec.Ownership{Paths: []string{"/usr/local/ci"}}, "all of /usr belongs to the system"},
		{spec.Ownership{Paths: []string{"/etc"}}, "others have things there"},
		{spec.Ownership{Paths: []string{"srv/ci"}}, "absolute"},
		{spec.Ownership{Paths: []string{`C:\ci`}}, "of Windows"},
		{spec.Ownership{Paths: []string{"C:/ci"}}, "of Windows"},
		{spec.Ownership{Paths: []string{"/srv/ci/"}}, `want it clean, as "/srv/ci"`},
		{spec.Ownership{Paths: []string{"/srv/../etc"}}, `want it clean, as "/etc"`},
		{spec.Ownership{Paths: []string{"/srv/*"}}, "patterns are for names"},
		{spec.Ownership{Paths: []string{"/srv/ci", "/srv/ci/a"}}, "overlap"},
		{spec.Ownership{Paths: []string{"/srv/ci", "/srv/ci"}}, "twice"},
		{spec.Ownership{Users: []string{"root"}}, "keep the machine alive"},
		{spec.Ownership{Users: []string{"ci"}, SystemUsers: []string{"postgres"}}, ""},
		{spec.Ownership{SystemUsers: []string{"sshd"}}, "keep the machine alive"},
		{spec.Ownership{Users: []string{"ci"}, SystemUsers: []string{"ci"}}, "in users and in systemUsers"},
		{spec.Ownership{Users: []string{"ci-*"}}, "patterns are for names"},
		{spec.Ownership{Users: []string{"ci "}}, "no name of a user"},
		{spec.Ownership{SystemUsers: []string{"postgres:x"}}, "no name of a user"},
		{spec.Ownership{Users: []string{`CORP\ci`, "ci build@corp.example", "ci$"}}, ""},
		{spec.Ownership{Cgroups: []string{"/ci-*.slice"}}, "patterns are for names"},
		{spec.Ownership{Labels: []string{"ci.*"}}, "patterns are for names"},
		{spec.Ownership{Labels: []string{"ci.build=*"}}, "patterns are for names"},
		{spec.Ownership{Names: []string{"*"}}, "match things of others"},
		{spec.Ownership{Names: []string{"v[m"}}, "no pattern"},
		{spec.Ownership{Labels: []string{"=x"}}, "no key"},
		{spec.Ownership{Cgroups: []string{"/"}}, "other people's processes"},
		{spec.Ownership{Paths: []string{"/var/lib/docker/containers"}}, "all of /var/lib/docker belongs to the system"},
		{spec.Ownership{Paths: []string{"/home/jenkins/.ssh"}}, "keys by which people"},
		{spec.Ownership{Paths: []string{"/home/jenkins/.ssh-of-tests", "/var/lib/docker-ci"}}, ""},
		{spec.Ownership{Paths: []string{"/run/systemd/system"}}, "all of /run/systemd belongs to the system"},
		{spec.Ownership{Paths: []string{"/var/run/dbus"}}, "all of /run/dbus belongs to the system"},
		{spec.Ownership{Paths: []string{"/dev/mapper"}}, "all of /dev belongs to the system"},
		{spec.Ownership{Paths: []string{"/nix/store"}}, "all of /nix belongs to the system"},
		{spec.Ownership{Paths: []string{"/var/lib/kubelet/pods"}}, "all of /var/lib/kubelet belongs to the system"},
		{spec.Ownership{Paths: []string{"/Users"}}, "others have things there"},
		{spec.Ownership{Paths: []string{"/dev/shm/ci", "/run/ci", "/var/run/ci-too", "/run/systemd-ci", "/Users/ci/workspace"}}, ""},
		{spec.Ownership{Cgroups: []string{"/system.slice/ssh.service"}}, "let people in"},
		{spec.Ownership{Cgroups: []string{"/system.slice/systemd-udevd.service/udev"}}, "keep the machine alive"},
		{spec.Ownership{Cgroups: []string{"/system.slice/ci.service", "/system.slice/systemd-ci.slice"}}, ""},
		{spec.Ownership{Cgroups: []string{"ci.slice"}}, "begins with a slash"},
	} {
		problems := c.owned.Check()
		switch {
		case c.want == "" && len(problems) > 0:
			t.Errorf("%+v: %v", c.owned, problems)
		case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Error(), c.want)):
			t.Errorf("%+v: %v; want one problem with %q", c.owned, errors.Join(problems...), c.want)
		}
	}
}

func TestReadRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"version":1,"name":"x","owned":{},"disk":{"paths":["/"]}}`:               "",
		`{"version":2,"name":"x","owned":{},"disk":{"paths":["/"]}}`:               "reads version 1",
		`{"version":1,"name":"x","owned":{}}`:                                      "0 goals",
		`{"version":1,"name":"x","owned":{},"loops":{},"mounts":{}}`:               "2 goals",
		`{"version":1,"name":"x","owned":{},"disk":{"pahts":["/"]}}`:               "unknown field",
		`{"version":1,"name":"x","owned":{"paths":["/usr"]},"disk":{"paths":[]}}`:  "owned path",
		`{"version":1,"name":"x","owned":{},"disk":{"paths":["/"]}} {"version":1}`: "something follows",
		``: "EOF",
	} {
		_, err := spec.Read(strings.NewReader(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v; want an error with %q", text, err, want)
		}
	}
}

func TestEncodedSpecReadsBackTheSame(t *testing.T) {
	t.Parallel()
	s := spec.Spec{
		Version: spec.Version, Name: "leftovers <&>", Owned: spec.Ownership{Paths: []string{"/srv/ci"}},
		Goal: spec.Goal{Files: &spec.Files{Keep: []string{"cache"}, Older: 60}},
	}
	text, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := spec.Read(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Encode()
	if err != nil || string(again) != string(text) {
		t.Errorf("read back:\n%s\nwant:\n%s(%v)", again, text, err)
	}
}

// Scrub does not rely on who wrote the spec.
func TestFilesReachNoFurtherThanWhatIsOwned(t *testing.T) {
	t.Parallel()
	for files, want := range map[string]string{ // a part of the problem; "" for none
		`{"paths":["/srv/ci/a","/srv/ci"]}`:                               "",
		`{"paths":["/srv/ci-data"]}`:                                      "not owned",
		`{"shared":["/tmp","/var/tmp","/dev/shm"],"names":["*.x","a*b"]}`: "",
		`{"shared":["/home"]}`:                                            "homes",
		`{"shared":["/usr/lib"]}`:                                         "belongs to the system",
		`{"shared":["/tmp"],"names":["*[abc]?x"]}`:                        "things of others",
	} {
		_, err := spec.Read(strings.NewReader(`{"version":1,"name":"f","owned":{"paths":["/srv/ci"]},"files":` + files + `}`))
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v; want one about %q", files, err, want)
		}
	}
}

func TestPlacedFilesAreWhatARecipeCouldMean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"path":"/etc/x","state":"file"}`:     "",
		`{"path":"/etc/x","state":"restored"}`: "",
		`{"path":"/etc/x","state":"gone"}`:     `state "gone"; want one of ["file" "directory" "absent" "restored"]`,
		`{"path":"/etc/x"}`:                    `state ""`,
		`{"path":"etc/x","state":"file"}`:      "want an absolute and clean path",
		`{"path":"/etc/../x","state":"file"}`:  "want an absolute and clean path",
	} {
		_, err := spec.Read(strings.NewReader(`{"version":1,"name":"x","owned":{},"place":{"recipe":"r","files":[` + text + `]}}`))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}
