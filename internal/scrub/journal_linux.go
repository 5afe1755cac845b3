// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// journal has journalctl remove archived files of the system's journal. A file that somebody else removes leaves the
// journal's daemon with an open one that nobody sees, and its directory with owners that it does not expect.
type journal struct {
	goal  spec.Journal
	here  Here
	now   func() time.Time
	roots []string
}

func newJournal(s spec.Spec, here Here) Step {
	return &journal{goal: *s.Journal, here: here, now: time.Now, roots: []string{"/var/log/journal", "/run/log/journal"}}
}

// archived is a file of the journal that is not written to any more.
type archived struct {
	path  string
	bytes int64
	since time.Time // the oldest thing that can be said of it, by which journalctl judges it
}

// Look finds the archived files that journalctl would remove by the policy: too old, or the oldest of too many.
func (j *journal) Look(context.Context) ([]Deviation, error) {
	if _, err := j.here.tool("journalctl"); err != nil {
		return nil, err
	}
	machine, err := os.ReadFile("/etc/machine-id")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Absent{"this machine has no id, and so no journal: " + err.Error()}
	}
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, root := range j.roots {
		all, err := archives(filepath.Join(root, strings.TrimSpace(string(machine))))
		if err != nil {
			return nil, err
		}
		found = append(found, j.surplus(all)...)
	}
	return found, nil
}

func (j *journal) surplus(all []archived) []Deviation {
	var held int64
	for _, a := range all {
		held += a.bytes
	}
	slices.SortFunc(all, func(a, b archived) int { return a.since.Compare(b.since) })
	var found []Deviation
	for _, a := range all {
		age := j.now().Sub(a.since)
		if old := j.goal.Older > 0 && age > j.goal.Older.Duration(); !old && (j.goal.Size == 0 || held <= j.goal.Size) {
			break
		}
		held -= a.bytes
		r := spec.Residue{Kind: "file", ID: a.path, What: "archived journal", Bytes: a.bytes, Age: spec.Seconds(max(0, age) / time.Second)}
		found = append(found, Deviation{Residue: r})
	}
	return found
}

// archives returns the archived files of a directory of the journal; that it does not exist is none.
func archives(dir string) ([]archived, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []archived
	for _, e := range entries {
		began, ok := archiveTime(e.Name())
		var st unix.Stat_t
		if path := filepath.Join(dir, e.Name()); ok && e.Type().IsRegular() && unix.Lstat(path, &st) == nil {
			for _, at := range []unix.Timespec{st.Mtim, st.Atim, st.Ctim} {
				if t := time.Unix(at.Unix()); t.Before(began) {
					began = t
				}
			}
			all = append(all, archived{path, st.Blocks * 512, began})
		}
	}
	return all, nil
}

// archiveTime returns the time in the name of an archived file: NAME@ID-NUMBER-TIME.journal, or NAME@TIME-RANDOM.journal~
// for one that was not closed properly; microseconds in hexadecimal. systemd calls those that are written to NAME.journal.
func archiveTime(name string) (t time.Time, ok bool) {
	_, rest, archived := strings.Cut(name, "@")
	if whole, closed := strings.CutSuffix(rest, ".journal"); closed {
		rest = whole[strings.LastIndexByte(whole, '-')+1:]
	} else if torn, is := strings.CutSuffix(rest, ".journal~"); is {
		rest, _, _ = strings.Cut(torn, "-")
	} else {
		return time.Time{}, false
	}
	micro, err := strconv.ParseInt(rest, 16, 64)
	return time.UnixMicro(micro), archived && err == nil
}

// Mend calls journalctl for each directory, so that it leaves those of other machines, which may stand beside ours, alone.
// Before systemd 240 or so it does nothing about a directory that is named; then it is called for all.
func (j *journal) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	var args []string
	if j.goal.Older > 0 {
		args = append(args, fmt.Sprintf("--vacuum-time=%ds", j.goal.Older))
	}
	if j.goal.Size > 0 {
		args = append(args, fmt.Sprintf("--vacuum-size=%d", j.goal.Size))
	}
	done := map[string]error{}
	for i, d := range found {
		dir := filepath.Dir(d.ID)
		if _, ok := done[dir]; !ok {
			_, done[dir] = ask(ctx, j.here, "journalctl", append([]string{"--directory=" + dir}, args...)...)
		}
		errs[i] = done[dir]
	}
	there := func(d Deviation) bool { _, err := os.Lstat(d.ID); return err == nil }
	if ctx.Err() == nil && !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) && slices.ContainsFunc(found, there) {
		_, err := ask(ctx, j.here, "journalctl", args...)
		return fill(errs, err)
	}
	return errs
}
