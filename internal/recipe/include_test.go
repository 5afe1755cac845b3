// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// grow makes files below a new directory and returns it.
func grow(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shared is a recipe of several files: two that include a third, and scripts beside them.
func shared() map[string]string {
	return map[string]string{
		"el7.yaml": `version: 1
name: el7
include: [parts/common.yaml, parts/docker.yaml]
owns: {paths: [/srv/ci], users: [jenkins]}
clean:
  - {name: own, run: echo own}
verify:
  - {name: proof, run: "true"}
`,
		"parts/common.yaml": `version: 1
description: What every agent needs.
include: [base/base.yaml]
owns: {paths: [/srv/ci, /srv/cache]}
clean:
  - {name: common, file: common.sh, carry: [data/list]}
`,
		"parts/docker.yaml": `version: 1
include: [base/base.yaml]
clean:
  - {name: docker, run: echo docker, before: files}
`,
		"parts/base/base.yaml": `version: 1
setup:
  - {name: base, run: cat list, carry: [list]}
`,
		"parts/common.sh": "cat data/list\n", "parts/data/list": "of common\n", "parts/base/list": "of base\n",
	}
}

func TestARecipeIncludesOtherFiles(t *testing.T) {
	t.Parallel()
	dir := grow(t, shared())
	path := filepath.Join(dir, "el7.yaml")
	r, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range r.Steps {
		names = append(names, s.Name)
	}
	if want := []string{"docker", "common", "own", "base", "proof"}; !slices.Equal(names, want) {
		t.Errorf("steps %q; want %q", names, want)
	}
	if want := []string{"/srv/ci", "/srv/cache"}; !slices.Equal(r.Owned.Paths, want) || !slices.Equal(r.Owned.Users, []string{"jenkins"}) {
		t.Errorf("owned %+v; want %q", r.Owned, want)
	}
	if r.Description != "" {
		t.Errorf("description %q is that of a part", r.Description)
	}
	p, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	report, res := newMachine(t, "dash").report(t, p)
	if report.Outcome != Cleaned || !strings.Contains(res.out, "| of common\n") || !strings.Contains(res.out, "| of base\n") {
		t.Errorf("outcome %s; want the files of both parts\n%s", report.Outcome, res.out)
	}
	for _, name := range []string{"parts/base/base.yaml", "parts/common.sh", "parts/data/list"} {
		files := shared()
		files[name] = strings.NewReplacer("cat", "cat --", "of", "if").Replace(files[name])
		if other, err := Load(filepath.Join(grow(t, files), "el7.yaml")); err != nil {
			t.Error(err)
		} else if q, err := other.Compile(); err != nil || q.Revision == p.Revision {
			t.Errorf("another %s is the same revision (%v)", name, err)
		}
	}
}

func TestProblemsOfIncludedFilesAreShownThere(t *testing.T) {
	t.Parallel()
	chain := map[string]string{}
	for i := range 7 {
		chain[fmt.Sprintf("c%d.yaml", i)] = fmt.Sprintf("version: 1\ninclude: [c%d.yaml]\n", i+1)
	}
	for name, c := range map[string]struct {
		file, text string
		more       map[string]string
		want       []string
	}{
		"an unknown field": {file: "parts/common.yaml", text: "version: 1\nclaen: []\n", want: []string{
			`parts/common.yaml:2:1: $.claen: unknown field "claen"; did you mean "clean"?`,
		}},
		"what only the recipe says": {file: "parts/common.yaml", text: "version: 1\nname: x\nplaces: [/tmp]\n", want: []string{
			`parts/common.yaml:2:7: $.name: only the recipe itself says its name, not a file that it includes`,
			`parts/common.yaml:3:9: $.places: only the recipe itself says its places, not a file that it includes`,
		}},
		"no version": {file: "parts/common.yaml", text: "description: x\n", want: []string{`parts/common.yaml:1:1: $: the field "version" is missing`}},
		"overlapping ownership": {file: "parts/common.yaml", text: "version: 1\nowns:\n  paths:\n    - /srv/ci/sub\n    - /usr\n", want: []string{
			`parts/common.yaml:4:7: $.owns.paths[0]: owned paths "/srv/ci" and "/srv/ci/sub" overlap; name the outer one only`,
			`parts/common.yaml:5:7: $.owns.paths[1]: owned path "/usr": others have things there on every machine; own a directory below it`,
		}},
		"a name twice": {file: "parts/common.yaml", text: "version: 1\nclean:\n  - {name: docker, run: ls}\n", want: []string{
			`parts/docker.yaml:4:12: $.clean[0].name: the step on line 3 of parts/common.yaml is called "docker" already`,
		}},
		"a bad script beside it": {file: "parts/common.sh", text: "echo\nif [[ x ]]; then :; fi\n", want: []string{
			`parts/common.sh:2:4: $.clean[0].file: [[ ]] is bash, and this step runs under sh; rewrite it or set interpreter: bash`,
		}},
		"a script that is not there": {file: "parts/base/base.yaml", text: "version: 1\nsetup:\n  - {name: base, file: common.sh}\n", want: []string{
			`parts/base/base.yaml:3:24: $.setup[0].file: common.sh: no such file`,
		}},
		"a way out": {file: "parts/base/base.yaml", text: "version: 1\ninclude: [../common.yaml, /etc/passwd]\n", want: []string{
			`parts/base/base.yaml:2:11: $.include[0]: ../common.yaml leads out of the recipe's directory`,
			`parts/base/base.yaml:2:27: $.include[1]: "/etc/passwd" is no file: want a path relative to the recipe, with slashes`,
		}},
		"itself": {file: "parts/common.yaml", text: "version: 1\ninclude: [a.yaml]\n", more: map[string]string{"parts/a.yaml": "version: 1\ninclude: [common.yaml]\n"}, want: []string{
			`parts/a.yaml:2:11: $.include[0]: parts/common.yaml includes itself: parts/common.yaml includes parts/a.yaml includes parts/common.yaml`,
		}},
		"nothing": {file: "parts/common.yaml", text: "version: 1\ninclude: [none.yaml, none.yaml]\n", want: []string{
			`parts/common.yaml:2:11: $.include[0]: none.yaml: no such file`,
			`parts/common.yaml:2:22: $.include[1]: none.yaml is there twice`,
		}},
		"no YAML": {file: "parts/common.yaml", text: "a: [1\nb: 2\n", want: []string{`parts/common.yaml:`}},
		"too deep": {file: "el7.yaml", text: "version: 1\nname: deep\ninclude: [c0.yaml]\nclean: [{name: a, run: ls}]\nverify: [{name: b, run: ls}]\n", more: chain, want: []string{
			`c4.yaml:2:11: $.include[0]: c5.yaml is included over more than 5 files; the limit keeps recipes readable`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := shared()
			files[c.file] = c.text
			maps.Copy(files, c.more)
			dir := grow(t, files)
			var got []string
			for _, p := range Check(filepath.Join(dir, "el7.yaml")) {
				text := strings.ReplaceAll(p.String(), dir+"/", "")
				if p.Excerpt == "" && p.Line > 0 {
					t.Errorf("%s: no excerpt", text)
				}
				if name == "no YAML" {
					text = text[:min(len(text), len(c.want[0]))]
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnIncludedFileMayNotBeALinkOut(t *testing.T) {
	t.Parallel()
	outside, dir := grow(t, map[string]string{"part.yaml": "version: 1\n"}), grow(t, shared())
	at := filepath.Join(dir, "parts", "common.yaml")
	if err := errors.Join(os.Remove(at), os.Symlink(filepath.Join(outside, "part.yaml"), at)); err != nil {
		t.Fatal(err)
	}
	problems := Check(filepath.Join(dir, "el7.yaml"))
	if len(problems) != 1 || !strings.HasSuffix(problems[0].String(), "parts/common.yaml: leads out of the recipe's directory") {
		t.Errorf("%v; want the link refused", problems)
	}
}
