// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

const (
	// asking is how long it may take to find out who keeps something busy: the kernel can hang over a process that hangs.
	asking = 3 * time.Second
	// named is how many of them a problem names.
	named = 6
)

// occupied is something that could not go because it is in use.
type occupied struct {
	// uses says of a mount namespace which paths are uses of it; nil if none can be.
	uses func(t mountinfo.Tree, ours bool) func(path string) bool
	// mounted says of a mount namespace at which points it is mounted so that it is in use by that alone.
	mounted func(t mountinfo.Tree, ours bool) []mountinfo.Mount
}

// witness gathers who keeps something busy.
type witness struct {
	proc   procfs.Root
	it     occupied
	lock   sync.Mutex
	spaces map[string]func(string) bool
	said   map[int][]string // by the process; 0 is nobody's
}

// whoUses names who keeps it busy, "" if nobody is found.
func whoUses(ctx context.Context, proc procfs.Root, it occupied) string {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	w := &witness{proc: proc, it: it, spaces: map[string]func(string) bool{}, said: map[int][]string{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ask(ctx)
	}()
	select {
	case <-done:
		return w.say("")
	case <-ctx.Done():
		return w.say("others that cannot be looked at in time")
	}
}

func (w *witness) ask(ctx context.Context) {
	self := os.Getpid()
	home := w.proc.Link(self, "ns/mnt")
	w.one(self, "this program", home, true)
	all, err := w.proc.All()
	if err != nil {
		return
	}
	for _, s := range all {
		if ctx.Err() != nil {
			return
		}
		if space := w.proc.Link(s.PID, "ns/mnt"); s.PID != self && space != "" {
			w.one(s.PID, shown(s.Name), space, space == home)
		}
	}
}

// one looks at one process, and at its mount namespace if that has not been seen.
func (w *witness) one(pid int, name, space string, ours bool) {
	uses, seen := w.spaces[space]
	if !seen {
		uses = w.enter(pid, name, ours)
		w.spaces[space] = uses
	}
	if uses == nil {
		return
	}
	if how := w.proc.Use(pid, uses); how != "" {
		w.note(pid, fmt.Sprintf("process %d (%s) by %s", pid, name, how))
	}
}

// enter looks at the mounts of a namespace.
func (w *witness) enter(pid int, name string, ours bool) func(string) bool {
	tree, err := mountTree(w.proc, pid)
	if err != nil {
		return nil
	}
	for _, m := range w.it.mounted(tree, ours) {
		if ours {
			w.note(0, "the mount at "+shown(m.Point))
		} else {
			w.note(0, fmt.Sprintf("the mount at %s in the mount namespace of process %d (%s)", shown(m.Point), pid, name))
		}
	}
	return w.it.uses(tree, ours)
}

func (w *witness) note(pid int, what string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.said[pid] = append(w.said[pid], what)
}

func (w *witness) say(more string) string {
	w.lock.Lock()
	defer w.lock.Unlock()
	var all []string
	for _, what := range w.said {
		all = append(all, what...)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	if n := len(all) - named; n > 0 {
		all = append(all[:named], fmt.Sprintf("%d more", n))
	}
	if more != "" {
		all = append(all, more)
	}
	return strings.Join(all, ", ")
}

// busyMount says who keeps a mount busy. A process in another mount namespace does so by a copy that unmounting would
// take along.
func busyMount(ctx context.Context, proc procfs.Root, tree mountinfo.Tree, m mountinfo.Mount) error {
	points := map[string]bool{m.Point: true}
	for _, twin := range tree.Twins(m) {
		points[twin.Point] = true
	}
	it := occupied{
		mounted: func(mountinfo.Tree, bool) []mountinfo.Mount { return nil },
		uses: func(t mountinfo.Tree, ours bool) func(string) bool {
			there := points
			if !ours {
				there = map[string]bool{}
				for _, copied := range t.All() {
					if copied.Device == m.Device && copied.Root == m.Root {
						there[copied.Point] = true
					}
				}
			}
			if len(there) == 0 {
				return nil
			}
			return func(p string) bool {
				for point := range there {
					if spec.Within(point, p) {
						return true
					}
				}
				return false
			}
		},
	}
	who := whoUses(ctx, proc, it)
	for _, file := range madeOf(proc, m.Point) {
		who = strings.TrimPrefix(who+", "+file, ", ")
	}
	if number, of := strings.CutPrefix(m.Device, "0:"); who == "" && of && strings.HasPrefix(m.Type, "fuse") {
		return Final{fmt.Errorf("it is busy, and no process shows why: its server (%s) may owe an answer that a process waits for in the kernel; "+
			"end the server, or write 1 to /sys/fs/fuse/connections/%s/abort", shown(m.Source), number)}
	}
	if who == "" {
		return errors.New("it is busy, and no process shows why: the kernel itself uses it, or a process that is hidden from us")
	}
	return Final{errors.New("it is kept busy by " + who)}
}

// madeOf names what the kernel has made of files below a point.
func madeOf(proc procfs.Root, point string) []string {
	var made []string
	loops, _ := sysfs.loops() // without it, and without the next, what processes tell is all that is said
	for _, l := range loops {
		if spec.Within(point, l.file) {
			made = append(made, fmt.Sprintf("%s, which is made of %s", path.Join("/dev", l.name), shown(l.file)))
		}
	}
	swapping, _ := swaps(proc)
	for _, s := range swapping {
		if spec.Within(point, s) {
			made = append(made, "swapping to "+shown(s))
		}
	}
	return made
}

// busyDevice says who keeps a block device busy: names are its own and those of its partitions, numbers likewise.
func busyDevice(ctx context.Context, proc procfs.Root, names, numbers []string, refusal error) error {
	it := occupied{
		mounted: func(t mountinfo.Tree, _ bool) []mountinfo.Mount {
			return slices.DeleteFunc(slices.Clone(t.All()), func(m mountinfo.Mount) bool { return !slices.Contains(numbers, m.Device) })
		},
		uses: func(mountinfo.Tree, bool) func(string) bool {
			return func(p string) bool {
				return strings.HasPrefix(p, "/dev/") && slices.Contains(names, strings.TrimPrefix(p, "/dev/"))
			}
		},
	}
	who := whoUses(ctx, proc, it)
	swapping, _ := swaps(proc) // as in madeOf
	for _, s := range swapping {
		if slices.Contains(names, strings.TrimPrefix(s, "/dev/")) {
			who = strings.TrimPrefix(who+", swapping to it", ", ")
		}
	}
	if who == "" {
		return fmt.Errorf("it is busy, and no process shows why: %w", refusal)
	}
	return Final{errors.New("it is kept busy by " + who)}
}
