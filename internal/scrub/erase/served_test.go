// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestAServerThatHangsIsNotAsked: what is mounted deep in a tree may be of a server that never answers.
func TestAServerThatHangsIsNotAsked(t *testing.T) {
	t.Parallel()
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			if w.uid != 0 || !in(t, w) {
				return
			}
			s := newSite(t)
			s.make("tree/a/", "tree/a/hung/", "tree/a/f=1", "tree/b/")
			fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
			s.must(err)
			t.Cleanup(func() { _ = unix.Close(fd) }) // whoever waits for it goes on
			s.must(unix.Mount("server", s.tree+"/a/hung", "fuse", unix.MS_NOSUID, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)))
			t.Cleanup(func() { _ = unix.Unmount(s.tree+"/a/hung", unix.MNT_DETACH) })
			done := make(chan Report, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			go func() {
				r, err := s.open().Empty(ctx, Policy{}, Options{})
				if err != nil {
					t.Error(err)
				}
				done <- r
			}()
			select {
			case r := <-done:
				if diff := cmp.Diff([]string{"mount tree/a/hung"}, s.complaints(r)); diff != "" {
					t.Errorf("problems (-want +got):\n%s", diff)
				}
			case <-ctx.Done():
				t.Error("it waits for the server")
			}
		})
	}
}
