// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

var digest = "sha256:" + strings.Repeat("0a", 32)

func TestReferencesMeanWholeParts(t *testing.T) {
	t.Parallel()
	for reference, c := range map[string]struct{ means, others []string }{
		"centos": {
			[]string{"centos:7", "docker.io/library/centos:8", "localhost/centos:latest", "docker.io/centos:1", "centos@" + digest},
			[]string{"centos7:7", "my/centos:7", "quay.io/centos:7", "docker.io/other/centos:7"},
		},
		"centos:7":                 {[]string{"centos:7", "docker.io/library/centos:7"}, []string{"centos:77", "centos:latest", "centos@" + digest}},
		"docker.io/library/centos": {[]string{"centos:7", "docker.io/library/centos:7"}, []string{"quay.io/library/centos:7"}},
		"docker.io/ci/a":           {[]string{"ci/a:1"}, []string{"a:1", "ci/b:1"}},
		"quay.io/ci/":              {[]string{"quay.io/ci/a:1", "quay.io/ci/a/b:1"}, []string{"quay.io/cis/a:1", "quay.io/ci:1", "docker.io/quay.io/ci2:1"}},
		"ci/":                      {[]string{"ci/a:1", "docker.io/ci/a:1", "localhost/ci/a:1"}, []string{"quay.io/ci/a:1", "cia:1"}},
		"quay.io/ci/*:lts-?":       {[]string{"quay.io/ci/a:lts-1"}, []string{"quay.io/ci/a/b:lts-1", "quay.io/ci/a:lts-10"}},
		"host:5000/a":              {[]string{"host:5000/a:1"}, []string{"host:5001/a:1", "host/a:5000"}},
		"a@" + digest:              {[]string{"a@" + digest}, []string{"b@" + digest, "a:1"}},
		"quay.io/a:1@" + digest:    {[]string{"quay.io/a@" + digest}, []string{"b@" + digest, "quay.io/a:1"}},
		"Host:5000/a_b/c-d":        {[]string{"Host:5000/a_b/c-d:1"}, []string{"Host:5000/a_b:1"}},
		digest:                     {[]string{"a@" + digest, "quay.io/b@" + digest}, []string{"a:1", "a@sha256:" + strings.Repeat("0b", 32)}},
	} {
		r, err := spec.ParseReference(reference)
		if err != nil {
			t.Errorf("%s: %v", reference, err)
		}
		for _, name := range c.means {
			if !r.Matches(name) {
				t.Errorf("%s does not mean %s", reference, name)
			}
		}
		for _, name := range c.others {
			if r.Matches(name) {
				t.Errorf("%s means %s", reference, name)
			}
		}
	}
}

func TestWhatIsNoReferenceIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "/", "/a", "a//b", "a:", "a b", "a[", "a:[", "../a", "sha256:1", "a@md5:1", "a@", "a:1:2", "quay.io/a:1:2", "CentOS:7", "quay.io/CI/", "CI/tools", "https://quay.io/a", "qu*/"} {
		if r, err := spec.ParseReference(text); err == nil {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
	_, err := spec.Read(strings.NewReader(`{"version":1,"name":"x","owned":{},"containers":{"images":{"keep":["/"]}}}`))
	if err == nil || !strings.Contains(err.Error(), `keep of images: "/"`) {
		t.Errorf("a spec that keeps what is no image: %v", err)
	}
}

func TestLabelsAndNamesOfImagesAreOwnedAsAWhole(t *testing.T) {
	t.Parallel()
	o := spec.Ownership{Labels: []string{"ci", "team=a"}, Names: []string{"ci-*", "quay.io/ci/*"}}
	for label, want := range map[string]bool{"ci=": true, "ci=x": true, "team=a": true, "team=ab": false, "team=": false, "cis=": false} {
		key, value, _ := strings.Cut(label, "=")
		if o.Labelled(map[string]string{key: value, "other": "x"}) != want {
			t.Errorf("label %s: owned %v; want %v", label, !want, want)
		}
	}
	for name, want := range map[string]bool{
		"ci-a:1": true, "localhost/ci-a:1": true, "docker.io/library/ci-a:1": true, "docker.io/x/ci-a:1": false, "my-ci-a:1": false,
		"quay.io/ci/b:2": true, "quay.io/ci/b/c:2": false, "quay.io/ci/b@" + digest: true,
	} {
		if o.NamesImage(name) != want {
			t.Errorf("image %s: owned %v; want %v", name, !want, want)
		}
	}
}
