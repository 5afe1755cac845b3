// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/erase"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// cache is where a package manager keeps what it downloaded: all regular files of that suffix below root, or directly in
// it if it is flat. Lists of what repositories offer are not meant: without them nothing can be installed.
type cache struct {
	root, suffix string
	flat         bool
}

// download is a file in a cache.
type download struct {
	path  string
	bytes int64
	since time.Time // when it came to be there; its own time is that of the server's file
}

// surplus returns what the policy wants to go of what one package manager has downloaded, the oldest first.
func (p *packages) surplus(m packager) []Deviation {
	var all []download
	var held int64
	for _, c := range m.caches {
		for _, d := range c.files() {
			all = append(all, d)
			held += d.bytes
		}
	}
	slices.SortFunc(all, func(a, b download) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.path, b.path)) })
	var found []Deviation
	for _, d := range all {
		age := p.now().Sub(d.since)
		old := p.goal.Older > 0 && age > p.goal.Older.Duration()
		if much := p.goal.Size != nil && held > *p.goal.Size; !old && !much {
			continue
		}
		held -= d.bytes
		r := spec.Residue{Kind: "file", ID: d.path, What: "downloaded by " + m.name, Bytes: d.bytes, Age: spec.Seconds(max(0, age) / time.Second)}
		found = append(found, Deviation{Residue: r})
	}
	return found
}

// files returns what is in the cache, without following links or entering other file systems. What cannot be read
// belongs to whoever may: it stays.
func (c cache) files() []download {
	var all []download
	var root unix.Stat_t
	top, err := filepath.EvalSymlinks(c.root) // root's own: /etc/apk/cache is a link by design
	if err != nil || unix.Lstat(top, &root) != nil {
		return nil
	}
	_ = filepath.WalkDir(top, func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		var st unix.Stat_t
		switch {
		case e.IsDir() && at != top && (c.flat || unix.Lstat(at, &st) != nil || st.Dev != root.Dev):
			return filepath.SkipDir
		case !e.Type().IsRegular() || !strings.HasSuffix(at, c.suffix) || e.Name() == "lock" || unix.Lstat(at, &st) != nil:
			return nil //nolint:nilerr // no download, or it went meanwhile
		}
		all = append(all, download{at, st.Blocks * 512, time.Unix(st.Ctim.Unix())})
		return nil
	})
	return all
}

// remove removes files from the caches while no other can use them; files has their places in errs.
func (m packager) remove(ctx context.Context, files map[string]int, errs []error) {
	release, err := m.hold(ctx)
	if err != nil {
		for _, i := range files {
			errs[i] = err
		}
		return
	}
	defer release()
	byDir := map[string][]string{}
	for file := range files {
		byDir[filepath.Dir(file)] = append(byDir[filepath.Dir(file)], filepath.Base(file))
	}
	for dir, names := range byDir {
		failed := removeNames(ctx, dir, names)
		for name, err := range failed {
			errs[files[filepath.Join(dir, name)]] = err
		}
	}
}

// removeNames removes files from a directory, and says of each that stays why.
func removeNames(ctx context.Context, dir string, names []string) map[string]error {
	failed := map[string]error{}
	tree, err := erase.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		for _, name := range names {
			failed[name] = Final{err}
		}
		return failed
	}
	defer tree.Close()
	report, err := tree.Empty(ctx, erase.Policy{Keep: func(name string) bool { return !slices.Contains(names, name) }}, erase.Options{})
	for _, problem := range report.Problems {
		failed[first(dir, problem.Path)] = final(problem)
	}
	if err != nil {
		for _, name := range names {
			failed[name] = errors.Join(failed[name], err)
		}
	}
	return failed
}
