// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestAnAgentsOwnDirectoryIsKnownBefore(t *testing.T) {
	t.Parallel()
	const own, in = "is an agent's own directory: own the ones in it that builds fill, as ", "it would stay only while its agent runs"
	for _, c := range []struct {
		owned []string
		goal  spec.Files
		dir   string
		want  string // a part of the reason; "" for none
	}{
		{[]string{"/home/jenkins"}, spec.Files{}, "/home/jenkins", "/home/jenkins " + own + "/home/jenkins/workspace"},
		{[]string{"/home/jenkins"}, spec.Files{}, "/home/jenkins/", own},
		{[]string{"/home/jenkins/workspace"}, spec.Files{}, "/home/jenkins", ""},
		{[]string{"/home/jenkins"}, spec.Files{}, "/home/jenkins2", ""},
		{[]string{"/srv/ci"}, spec.Files{}, "/srv/ci/a1", in},
		{[]string{"/srv/ci"}, spec.Files{Keep: []string{"a?"}}, "/srv/ci/a1", ""},
		{[]string{"/srv/ci"}, spec.Files{Paths: []string{"/srv/ci/cache"}}, "/srv/ci/a1", ""},
		{[]string{"/srv/ci"}, spec.Files{Paths: []string{"/srv/ci/a1"}}, "/srv/ci/a1", own},
		{[]string{"/srv/ci"}, spec.Files{Shared: []string{"/tmp"}}, "/srv/ci", ""},
		{[]string{"/srv/ci/{agent}"}, spec.Files{}, "/srv/ci/a1", own},
		{[]string{"/srv/ci/{agent}/workspace"}, spec.Files{}, "/srv/ci/a1", ""},
		{[]string{"/srv/ci-{agent}.d"}, spec.Files{}, "/srv/ci-.d", ""},
		{[]string{"/srv/ci-{agent}.d"}, spec.Files{}, "/srv/ci-a1.d/root", in},
		{[]string{"/srv/ci"}, spec.Files{}, "C:\\ci", ""},
	} {
		s := spec.Spec{Owned: spec.Ownership{Paths: c.owned}, Goal: spec.Goal{Files: &c.goal}}
		if got := s.Endangers(c.dir); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%q, %+v, agent in %s: %q; want %q", c.owned, c.goal, c.dir, got, c.want)
		}
	}
	if why := (spec.Spec{Owned: spec.Ownership{Paths: []string{"/srv/ci"}}, Goal: spec.Goal{Mounts: &spec.Mounts{}}}).Endangers("/srv/ci"); why != "" {
		t.Errorf("a step that empties nothing: %q", why)
	}
}
