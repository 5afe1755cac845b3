// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// playErase empties a tree, or removes one name from it, and writes the report.
func playErase(args []string) error {
	tree, err := Open(args[0])
	if err != nil {
		return err
	}
	defer tree.Close()
	var r Report
	if len(args) > 1 {
		r, err = tree.Remove(context.Background(), args[1], Options{})
	} else {
		r, err = tree.Empty(context.Background(), Policy{}, Options{})
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(told{r.Stats, texts(r)})
}

// told is what a process in the role "erase" writes.
type told struct {
	Stats    Stats
	Problems []string
}

func texts(r Report) (lines []string) {
	for _, p := range r.Problems {
		lines = append(lines, p.Error())
	}
	return lines
}

// as has the process run as another user, from a place where that user may run it.
func as(t *testing.T, cmd *exec.Cmd, uid uint32) *exec.Cmd {
	t.Helper()
	place := openTemp(t) + "/erase.test"
	copyFile(t, cmd.Path, place)
	cmd.Path = place
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

func (s *site) eraseAs(uid uint32, args ...string) told {
	s.Helper()
	out, err := as(s.T, actor(s.T, "erase", args...), uid).Output()
	s.must(err)
	var r told
	s.must(json.Unmarshal(out, &r))
	return r
}

func TestAnOrdinaryUserIsToldWhoseItIs(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes things of several users")
	}
	for _, c := range []struct {
		name    string
		prepare func(s *site)
		want    string // with TREE for the tree's path
		left    string
	}{
		{"root's closed directory", func(s *site) {
			s.make("tree/d/", "tree/d/a=1")
			s.must(os.Chmod(s.tree+"/d", 0o700))
		}, "TREE/d stays: no right to remove it: owner 0, mode drwx------: permission denied (no permission)", "d/ d/a"},
		{"root's file in a directory of the user's", func(s *site) { s.make("tree/a=1") }, "", ""},
		{"a third user's directory that has something in it", func(s *site) {
			s.make("tree/d/", "tree/d/a=1")
			s.must(os.Chown(s.tree+"/d", 4711, 4711))
		}, "TREE/d/a stays: no right to remove it: owner 4711, mode drwxr-xr-x: permission denied (no permission): these are its directory's", "d/ d/a"},
		{
			"root's directory in a sticky one", func(s *site) {
				s.make("tree/d/", "tree/d/e/")
				s.must(os.Chmod(s.tree+"/d", 0o777|os.ModeSticky))
			}, "TREE/d/e stays: no right to remove it: owner 0, mode drwxr-xr-x: operation not permitted (forbidden by its owner, a flag, or a rule of the system)",
			"d/ d/e/",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c.prepare(s)
			s.must(os.Chown(s.tree, nobody, nobody))
			s.guard()
			r := s.eraseAs(nobody, s.tree)
			want := strings.ReplaceAll(c.want, "TREE", s.tree)
			if got := strings.Join(r.Problems, "\n"); got != want {
				t.Errorf("got problems\n%s\nwant\n%s", got, want)
			}
			if got := strings.Join(paths(t, s.tree), " "); got != c.left {
				t.Errorf("left %q, want %q", got, c.left)
			}
		})
	}
}
