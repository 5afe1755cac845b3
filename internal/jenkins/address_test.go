// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"errors"
	"strings"
	"testing"
)

func TestAgentNamesBecomePaths(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"linux-7":       "/computer/linux-7",
		"mac (old)":     "/computer/mac%20%28old%29",
		`it's "new"`:    "/computer/it%27s%20%22new%22",
		"a+b=c,d":       "/computer/a+b=c%2Cd",
		"büro-日本":       "/computer/b%C3%BCro-%E6%97%A5%E6%9C%AC",
		"Linux-7":       "/computer/Linux-7",
		"built-in":      "/computer/built-in",
		"~tilde.dot_x-": "/computer/~tilde.dot_x-",
	} {
		if got, err := computerPath(name); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", name, got, err, want)
		}
	}
}

func TestNamesThatAreNoAgentAreRefusedBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	for _, name := range []string{".", "..", "api", "createItem", "a/b", "a;b", "a?b", "a#b", "a%2Fb", "../x"} {
		if got, err := computerPath(name); err == nil {
			t.Errorf("%q became %s", name, got)
		}
	}
	for _, name := range []string{"", "(built-in)", "(master)"} {
		if _, err := computerPath(name); !errors.Is(err, ErrBuiltIn) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestNamesThatJenkinsRefusesAreRefusedInWords(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"linux-7", "mac (old)", `it's "new"`, "a+b=c,d", "büro-日本", "v1.2", "new", " x"} {
		if err := CheckAgentName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, why := range map[string]string{
		"": "blank", " ": "blank", "(built-in)": "built-in node", "(master)": "built-in node",
		".": "dot", "..": "dot", "lent.": "dot", "lent. ": "dot", "a\x00b": "control", "a\u0085b": "control",
		"a/b": "none of", `a\b`: "none of", "a%2Fb": "none of", "a:b": "none of", "a;b": "none of", "@a": "none of", "a@b": "none of", "[a]": "none of",
	} {
		if err := CheckAgentName(name); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want a word about %q", name, err, why)
		}
	}
}

func TestJobNamesBecomePaths(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"app":                       "/job/app",
		"team a/ci/app (x86)":       "/job/team%20a/job/ci/job/app%20%28x86%29",
		"multi/feature%2Fx":         "/job/multi/job/feature%252Fx",
		"matrix/label=el7,os=linux": "/job/matrix/job/label=el7%2Cos=linux",
	} {
		if got, err := jobPath(name); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"", "/", "a/", "/a", "a//b", "../a", "a/./b", "a;b"} {
		if got, err := jobPath(name); err == nil {
			t.Errorf("%q became %s", name, got)
		}
	}
}

func TestBuildAddressesAreRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url, job string
		number   int64
	}{
		{"http://ci/job/x/12/", "x", 12},
		{"https://ci.example:8443/jenkins/job/team/job/app/7/console?x=/job/y/1", "team/app", 7},
		{"job/x/12/", "x", 12},
		{"/jenkins/view/All/job/x/12/", "x", 12},
		{"http://ci/job/x/", "x", 0},
		{"http://ci/job/team%20a/job/b%20c/3/", "team a/b c", 3},
		{"http://ci/job/multi/job/feature%252Fx/3/", "multi/feature%2Fx", 3},
		{"http://ci/job/matrix/label=el7,os=linux/12/", "matrix/label=el7,os=linux", 12},
		{"http://ci/job/2024/job/12/5/", "2024/12", 5},
		{"http://ci/job/job/3/", "job", 3},
		{"http://job/job/x/3/", "x", 3},
		{"http://ci/computer/x/", "", 0},
		{"http://ci", "", 0},
		{"", "", 0},
		{"http://ci/job/", "job", 0},
		{"http://ci/job/%zz/1/", "", 0},
		{"http://ci/job/x/99999999999999999999/", "x/99999999999999999999", 0},
	} {
		if job, number := parseBuildURL(tt.url); job != tt.job || number != tt.number {
			t.Errorf("%s: got %q %d, want %q %d", tt.url, job, number, tt.job, tt.number)
		}
	}
}
