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
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// logs removes old rotated logs, and empties the records of logins.
type logs struct {
	goal  spec.Logs
	proc  procfs.Root
	now   func() time.Time
	notes []string
}

func newLogs(s spec.Spec, _ Here) Step {
	goal := *s.Logs
	if len(goal.Paths) == 0 {
		goal.Paths = []string{"/var/log"}
	}
	return &logs{goal: goal, proc: procfs.Machine, now: time.Now}
}

// Notes returns remarks on what the last look saw and leaves alone.
func (l *logs) Notes() []string { return l.notes }

// records are the names of the records of logins.
var records = []string{"wtmp", "btmp"}

// record is the kind of residue that records of logins are.
const record = "record"

// Look finds rotated logs that were written for the last time long ago and that nobody has open.
func (l *logs) Look(ctx context.Context) ([]Deviation, error) {
	l.notes = nil
	var found []Deviation
	var files []identity
	for _, dir := range l.goal.Paths {
		there, err := l.rotated(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("cannot look for rotated logs: %w", err)
		}
		for _, r := range there {
			found, files = append(found, Deviation{Residue: r.Residue}), append(files, r.file)
		}
	}
	if ctx.Err() != nil {
		return nil, stopped(ctx)
	}
	used, blind, err := l.open(ctx, files)
	if err != nil {
		return nil, fmt.Errorf("cannot tell who has logs open: %w", err)
	}
	if blind > 0 && len(found) > 0 {
		l.notes = append(l.notes, fmt.Sprintf("%d processes of others may have logs open; only root can see", blind))
	}
	kept := found[:0]
	for i, d := range found {
		if used[files[i]] {
			l.notes = append(l.notes, shown(d.ID)+" stays: a process has it open")
			continue
		}
		kept = append(kept, d)
	}
	return append(kept, l.logins()...), nil
}

// rotatedLog is a log that is not written to any more.
type rotatedLog struct {
	spec.Residue
	file identity
}

// rotated looks through dir and what is below, on that file system, without following links. Those who are not root see
// their own logs only.
func (l *logs) rotated(ctx context.Context, dir string) ([]rotatedLog, error) {
	dir = spell(dir)
	var top unix.Stat_t
	if err := unix.Lstat(dir, &top); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	var all []rotatedLog
	return all, filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
		var st unix.Stat_t
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0: // it belongs to whoever may read it
			return fs.SkipDir
		case err != nil:
			return err
		case ctx.Err() != nil:
			return fs.SkipAll
		case unix.Lstat(at, &st) != nil:
			return nil //nolint:nilerr // it went meanwhile
		case e.IsDir() && at != dir && (st.Dev != top.Dev || spec.Matches(l.goal.Keep, e.Name())):
			return fs.SkipDir
		case !e.Type().IsRegular() || !isRotated(e.Name()) || spec.Matches(l.goal.Keep, e.Name()):
			return nil
		case os.Geteuid() != 0 && int(st.Uid) != os.Geteuid():
			return nil
		}
		age := l.now().Sub(time.Unix(st.Mtim.Unix()))
		if age <= l.goal.Older.Duration() {
			return nil
		}
		r := spec.Residue{Kind: "file", ID: at, What: "rotated log", Bytes: st.Blocks * 512, Age: spec.Seconds(age / time.Second)}
		all = append(all, rotatedLog{r, identity{st.Dev, st.Ino}})
		return nil
	})
}

// packed are the endings that logs get when they are compressed.
var packed = []string{".gz", ".xz", ".bz2", ".zst", ".Z"}

// isRotated reports whether a name is one that only a log gets which has been put aside: NAME.1, NAME.1.gz, NAME.gz,
// NAME-20240131 (also with more digits for the time, or after a dot), NAME.old.
func isRotated(name string) bool {
	for _, end := range packed {
		if whole, ok := strings.CutSuffix(name, end); ok && whole != "" {
			return true
		}
	}
	at := strings.LastIndexAny(name, ".-")
	if at <= 0 {
		return false
	}
	last := name[at+1:]
	digits := last != "" && strings.Trim(last, "0123456789") == ""
	switch {
	case name[at:] == ".old":
		return true
	case digits && len(last) >= 8: // a date, or one and a time; the number of a build has fewer digits
		return (last[:2] == "19" || last[:2] == "20") && len(last) <= 14
	case digits && name[at] == '.':
		return len(last) <= 3
	}
	return false
}

// open returns which of the files a process has open, and how many processes cannot be asked.
func (l *logs) open(ctx context.Context, files []identity) (used map[identity]bool, blind int, err error) {
	used = map[identity]bool{}
	if len(files) == 0 {
		return used, 0, nil
	}
	all, err := l.proc.All()
	for _, s := range all {
		if ctx.Err() != nil {
			return used, blind, stopped(ctx)
		}
		dir := l.proc.Path(s.PID, "fd")
		names, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrPermission) {
			blind++
		}
		for _, n := range names {
			if id, ok := identifyLinked(filepath.Join(dir, n.Name())); ok && slices.Contains(files, id) {
				used[id] = true
			}
		}
	}
	return used, blind, err
}

// logins finds records that hold too much.
func (l *logs) logins() []Deviation {
	if l.goal.Logins == 0 {
		return nil
	}
	var found []Deviation
	for _, dir := range l.goal.Paths {
		for _, name := range records {
			at := filepath.Join(dir, name)
			size, err := recordSize(at)
			d := Deviation{Residue: spec.Residue{Kind: record, ID: at, What: "record of logins", Bytes: size}}
			if err != nil {
				d.Stays = err.Error()
			}
			if err != nil || size > l.goal.Logins {
				found = append(found, d)
			}
		}
	}
	return found
}

// recordSize returns the size of a record of logins, 0 if there is none.
func recordSize(path string) (int64, error) {
	s, err := openSpot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer s.close()
	t, err := s.see()
	if err != nil || t.Type != isFile {
		return 0, err
	}
	return t.size, nil
}

// Mend removes rotated logs, and empties records where they are: those who write to them have them open.
func (l *logs) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		dir, name := filepath.Dir(d.ID), filepath.Base(d.ID)
		if d.Kind == record {
			errs[i] = cutShort(d.ID)
			continue
		}
		errs[i] = removeNames(ctx, dir, []string{name})[name]
	}
	return errs
}

// cutShort empties a file that is no link and has no other name. An owned directory can be a user's, who puts a link in the way.
func cutShort(path string) error {
	s, err := openSpot(path)
	if err != nil {
		return err
	}
	defer s.close()
	fd, err := unix.Openat(s.dir, s.name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return Final{&os.PathError{Op: "empty", Path: path, Err: err}}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 {
		return Final{fmt.Errorf("%s is no plain file with one name", path)}
	}
	return unix.Ftruncate(fd, 0)
}

// ownerOf returns the number of a file's owner.
func ownerOf(info fs.FileInfo) int {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(st.Uid)
}
