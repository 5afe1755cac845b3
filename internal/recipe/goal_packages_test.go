// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestPackagesAreDecoded(t *testing.T) {
	t.Parallel()
	r, err := Parse("r.yaml", []byte(`version: 1
name: packages
clean:
  - {name: caches, packages: {older: 14d, size: 1GB, mend: true}}
  - {name: none, packages: {size: 0}}
setup:
  - {name: tools, packages: {present: [git, g++, "libc6:amd64", /usr/bin/make]}, retries: 1}
verify:
  - {name: tools are there, packages: {present: [git]}}
`), opener(nil))
	if err != nil {
		t.Fatal(err)
	}
	var got []spec.Packages
	for _, s := range r.Steps {
		got = append(got, *s.Goal.Packages)
	}
	want := []spec.Packages{
		{Older: 14 * 24 * 60 * 60, Size: new(int64(1e9)), Mend: true},
		{Size: new(int64)},
		{Present: []string{"git", "g++", "libc6:amd64", "/usr/bin/make"}},
		{Present: []string{"git"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("goals (-want +got):\n%s", diff)
	}
}

func TestWrongPackagesAreRefused(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 1
name: wrong
clean:
  - {name: a, packages: {}}
  - {name: b, packages: {present: [git]}}
  - {name: c, packages: {size: 5}}
setup:
  - {name: d, packages: {mend: true}}
  - {name: e, packages: {present: [git, git, -y, "git=1", "python3*", "vim-"], older: 1d}}
verify:
  - {name: ok, run: "true"}
`), opener(nil))
	problems, _ := errors.AsType[Problems](err)
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.String(), "r.yaml:"))
	}
	want := []string{
		`4:5: $.clean[0].packages: none of older, size, mend and present is there: nothing could ever be wrong`,
		`5:5: $.clean[1].packages: packages are installed in the setup phase; "present" is not for the clean phase`,
		`6:32: $.clean[2].packages.size: "5" is no amount of room: write for example 10GB or 512MiB`,
		`8:5: $.setup[0].packages: the field "present" is missing: which packages are to be there?`,
		`9:5: $.setup[1].packages: "present" excludes older, size and mend: a step does one thing`,
		`9:41: $.setup[1].packages.present[1]: git is there twice`,
		`9:46: $.setup[1].packages.present[2]: "-y": want the name of a package`,
		`9:50: $.setup[1].packages.present[3]: "git=1": want the name of a package, without a version, release or pattern`,
		`9:59: $.setup[1].packages.present[4]: "python3*": want the name of a package, without a version, release or pattern`,
		`9:71: $.setup[1].packages.present[5]: "vim-": want the name of a package`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
