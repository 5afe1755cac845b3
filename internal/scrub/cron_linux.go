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

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// cron removes what owned users have ordered for later.
type cron struct {
	owned spec.Ownership
	here  Here
	now   func() time.Time
	users users
	known map[string]later // what the last look found, by its key
}

// later is one thing that is ordered for later.
type later struct {
	file string // in a spool directory, "" if that cannot be read
	user string
	job  string      // the number of a job of at, "" for a crontab
	info fs.FileInfo // of the file
}

// The spool directories of Debian and Alpine, SUSE, and of Red Hat: of crontabs, and of jobs of at.
var (
	crontabDirs = []string{"/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"}
	atDirs      = []string{"/var/spool/cron/atjobs", "/var/spool/atjobs", "/var/spool/at"}
)

func newCron(s spec.Spec, here Here) Step { return &cron{owned: s.Owned, here: here, now: time.Now} }

// Look finds the crontabs and jobs of owned users. Those who are not root are told of their own by the programs.
func (c *cron) Look(ctx context.Context) ([]Deviation, error) {
	c.known = map[string]later{}
	if err := c.users.find(ctx, c.here, c.owned); err != nil {
		return nil, err
	}
	var found []Deviation
	add := func(kind, id string, l later) {
		d := Deviation{Residue: spec.Residue{Kind: kind, ID: id, Owner: l.user}}
		if l.info != nil {
			d.Bytes, d.Age = l.info.Size(), spec.Seconds(max(0, c.now().Sub(l.info.ModTime()))/time.Second)
		}
		c.known[d.key()] = l
		found = append(found, d)
	}
	for _, uid := range c.users.numbers() {
		name := c.users.names[int(uid)]
		switch {
		case os.Geteuid() == 0:
			if err := c.crontabs(name, add); err != nil {
				return nil, err
			}
		case os.Geteuid() == int(uid):
			if err := c.own(ctx, name, add); err != nil {
				return nil, err
			}
		default:
			found = append(found, unseen("what "+name+" has ordered for later", fmt.Sprintf("only root and %s may see it", name)))
		}
	}
	if os.Geteuid() == 0 {
		if err := c.jobs(add); err != nil { // which adds to found
			return nil, err
		}
	}
	return found, nil
}

// crontabs finds the files that have exactly the name of a user.
func (c *cron) crontabs(name string, add func(kind, id string, l later)) error {
	for _, dir := range crontabDirs {
		file := filepath.Join(dir, name)
		info, err := os.Lstat(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot look for crontabs: %w", err)
		}
		if err == nil && info.Mode().IsRegular() {
			add("crontab", file, later{file: file, user: name, info: info})
		}
	}
	return nil
}

// jobs finds jobs of at by the owners of their files.
func (c *cron) jobs(add func(kind, id string, l later)) error {
	for _, dir := range atDirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is not there where at is not
			return fmt.Errorf("cannot look for jobs of at: %w", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			number, ok := atJob(e.Name())
			if err != nil || !ok || !info.Mode().IsRegular() {
				continue
			}
			if name, owned := c.users.names[ownerOf(info)]; owned {
				file := filepath.Join(dir, e.Name())
				add("job", file, later{file: file, user: name, job: number, info: info})
			}
		}
	}
	return nil
}

// own asks the programs for what we have ordered ourselves.
func (c *cron) own(ctx context.Context, name string, add func(kind, id string, l later)) error {
	if _, err := ask(ctx, c.here, "crontab", "-l"); err == nil {
		add("crontab", "crontab of "+name, later{user: name})
	}
	queue, err := ask(ctx, c.here, "atq")
	if _, absent := errors.AsType[Absent](err); absent {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look for jobs of at: %w", err)
	}
	for line := range strings.Lines(queue) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[len(fields)-1] == name {
			add("job", "job "+fields[0], later{user: name, job: fields[0]})
		}
	}
	return nil
}

// atJob returns the number in the name of a job's file: its queue (or = while it runs), five digits of its number and
// eight of its time, in hexadecimal.
func atJob(name string) (number string, ok bool) {
	if len(name) != 14 || name[0] != '=' && (name[0]|0x20 < 'a' || name[0]|0x20 > 'z') {
		return "", false
	}
	n, err := strconv.ParseUint(name[1:6], 16, 32)
	if _, bad := strconv.ParseUint(name[6:], 16, 64); err != nil || bad != nil {
		return "", false
	}
	return strconv.FormatUint(n, 10), true
}

// Mend has the programs remove what was found, and removes the files itself where there are none, or they did not.
func (c *cron) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		l := c.known[d.key()]
		if errs[i] = c.cancel(ctx, l); l.file == "" {
			continue
		}
		if _, err := os.Lstat(l.file); errors.Is(err, os.ErrNotExist) {
			errs[i] = nil
			continue
		}
		dir, name := filepath.Split(l.file)
		errs[i] = removeNames(ctx, filepath.Clean(dir), []string{name})[name]
	}
	return errs
}

func (c *cron) cancel(ctx context.Context, l later) error {
	args := []string{"crontab", "-r"}
	switch {
	case l.job != "":
		args = []string{"atrm", l.job}
	case l.file != "":
		args = []string{"crontab", "-u", l.user, "-r"}
	}
	_, err := ask(ctx, c.here, args[0], slices.Clone(args[1:])...)
	return err
}
