// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
)

const cachingRecipe = `version: 1
name: caches
cache: true
places: [/var/tmp]
clean:
  - {name: room, disk: {paths: [/], inodesFree: 1}}
  - {name: root's, as: root, disk: {paths: [/], inodesFree: 1}}
verify:
  - {name: ok, run: "true"}
`

// caching returns a machine whose /var/cache is the directory returned as well.
func caching(t *testing.T, sudoers string) (m *machine, dir string) {
	t.Helper()
	m = ordinary(t, "dash", sudoers)
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m.cache(dir)
	return m, filepath.Join(dir, "pitcrew")
}

func TestScrubIsKeptByRootAndTakenFromThere(t *testing.T) {
	t.Parallel()
	carries, err := carried.For("linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	p := compiled(t, cachingRecipe)
	m, cache := caching(t, everything)
	file := filepath.Join(cache, "scrub-"+carries.Digest)
	// What the program carries is spoilt in this copy: it succeeds only with what the cache has.
	hollow := *p
	hollow.Text = []byte(strings.ReplaceAll(string(p.Text), wrapped(carries.Packed), "AAAA\n"))
	if len(hollow.Text) >= len(p.Text) {
		t.Fatal("the program does not carry scrub as expected")
	}
	if res := m.run(t, &hollow, issued()); res.exit != 1 || !strings.Contains(res.out, "it was damaged on its way") {
		t.Fatalf("exit %d; want it to see that scrub is spoilt\n%s", res.exit, res.out)
	}
	if r, res := m.report(t, p); r.Outcome != Cleaned {
		t.Fatalf("outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Fatalf("kept: %v, %v; want it with mode 755", info, err)
	}
	if r, res := m.report(t, &hollow); r.Outcome != Cleaned {
		t.Errorf("with the cache: outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
	}
	for name, spoil := range map[string]func() error{
		"writable by others":           func() error { return os.Chmod(file, 0o757) },
		"owned by the user":            func() error { return os.Chown(file, nobody, nobody) },
		"a directory of others":        func() error { return os.Chmod(cache, 0o775) },
		"a link":                       func() error { return errors.Join(os.Rename(file, file+".x"), os.Symlink(file+".x", file)) },
		"another program by that name": func() error { return os.WriteFile(file, []byte("#!/bin/sh\nexit 0\n"), 0o755) },
	} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if res := m.run(t, &hollow, issued()); res.exit != 1 || !strings.Contains(res.out, "it was damaged on its way") {
			t.Errorf("%s: exit %d; want what is in the cache refused\n%s", name, res.exit, res.out)
		}
		if err := errors.Join(os.Remove(file), os.Chmod(cache, 0o755), os.WriteFile(file, content, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if res := m.run(t, p, nil, "--remove"); res.exit != 0 {
		t.Errorf("--remove: exit %d\n%s", res.exit, res.out)
	}
	empty(t, filepath.Dir(cache))
	empty(t, m.tmp)
}

func TestOnlyRootKeepsScrub(t *testing.T) {
	t.Parallel()
	m, cache := caching(t, "")
	r, res := m.report(t, compiled(t, strings.Replace(cachingRecipe, "as: root, ", "", 1)))
	if r.Outcome != Cleaned {
		t.Fatalf("outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
	}
	empty(t, filepath.Dir(cache))
	if err := os.Mkdir(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if res := m.run(t, compiled(t, cachingRecipe), nil, "--remove"); res.exit != 1 || !strings.Contains(res.out, "removing it needs root") {
		t.Errorf("exit %d; want it to say that it cannot remove the cache\n%s", res.exit, res.out)
	}
}
