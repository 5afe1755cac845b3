// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxRounds = 16   // times that a directory is emptied again because it was not empty
	maxAhead  = 4096 // directories that are queued from one directory before it is read on

	// More than most machines have processors: while some wait for the disk, or in the kernel for each other, others go on.
	usualWorkers = 8
)

// erasure is one Remove, Empty or deep Look at work.
type erasure struct {
	*crew
	tree      *Tree
	opts      Options
	picks     []pick // what is to go from the tree itself; nil: all
	started   time.Time
	measuring bool            // look, remove nothing
	policy    Policy          // measuring: what for
	ended     <-chan struct{} // the context's

	notes    sync.Mutex // guards what follows, and the entries that are measured
	problems []Problem
	kept     int64
}

func (t *Tree) erasure(opts Options) *erasure {
	return &erasure{crew: newCrew(cmp.Or(max(opts.Workers, 0), usualWorkers)), tree: t, opts: opts, started: time.Now()}
}

func (t *Tree) remove(ctx context.Context, picks []pick, opts Options) (Report, error) {
	e := t.erasure(opts)
	e.picks = picks
	root, err := e.root()
	if err != nil {
		return Report{}, err
	}
	defer unix.Close(root.fd)
	e.give(0, root)
	report := Report{Stats: e.run(ctx), Problems: e.problems}
	report.Kept = e.kept
	slices.SortFunc(report.Problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	if e.left > 0 {
		return report, fmt.Errorf("remove from %s: %w", quote(t.path), context.Cause(ctx))
	}
	return report, nil
}

// root is the tree as the directory that everything hangs from. It has a descriptor of its own: where reading stands belongs to that.
func (e *erasure) root() (*dir, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(e.tree.fd, ".", directory, 0) })
	if err != nil {
		return nil, fmt.Errorf("open tree %s: %w", quote(e.tree.path), err)
	}
	d := &dir{id: e.tree.id, fd: fd}
	d.reading.entered = true
	d.reading.limit = e.room(fd)
	return d, nil
}

// run has the workers do what is queued and all that comes of it.
func (e *erasure) run(ctx context.Context) (total Stats) {
	e.ended = ctx.Done()
	defer context.AfterFunc(ctx, e.stop)()
	all := make([]worker, len(e.stacks))
	var group sync.WaitGroup
	for i := range all {
		all[i] = worker{erasure: e, number: i, names: names{inOrder: !e.tree.inMemory && !e.measuring}}
		group.Go(all[i].run)
	}
	group.Wait()
	e.closeIdle()
	for i := range all {
		total.add(all[i].stats)
	}
	return total
}

// stopped says whether no more is to be done.
func (e *erasure) stopped() bool {
	select {
	case <-e.ended:
		return true
	default:
		return false
	}
}

// report notes why something stays.
func (e *erasure) report(p Problem) {
	e.notes.Lock()
	defer e.notes.Unlock()
	e.kept++
	if len(e.problems) < maxProblems {
		e.problems = append(e.problems, p)
	}
}

func (e *erasure) pause(at point, d *dir) {
	if e.opts.pause != nil {
		e.opts.pause(at, e.path(d, ""))
	}
}

// path is the path of the directory, or of a name in it.
func (e *erasure) path(d *dir, name string) string {
	parts := []string{name}
	if name == "" {
		parts = nil
	}
	for ; d.parent != nil; d = d.parent {
		parts = append(parts, d.name)
	}
	size := len(e.tree.path)
	for _, part := range parts {
		size += 1 + len(part)
	}
	path := append(make([]byte, 0, size), e.tree.path...)
	for _, part := range slices.Backward(parts) {
		path = append(append(path, '/'), part...)
	}
	return string(path)
}
