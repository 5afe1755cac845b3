// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestAClosedStoreIsFreeThoughAChildStillHasItsHandle(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	s, err := store.Open(t.Context(), store.Options{Path: path, Now: t0})
	if err != nil {
		t.Fatal(err)
	}
	handles, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	copies := 0
	for _, h := range handles {
		if name, err := os.Readlink("/proc/self/fd/" + h.Name()); err != nil || name != path+".lock" {
			continue
		}
		fd, err := strconv.Atoi(h.Name())
		if err != nil {
			t.Fatal(err)
		}
		inherited, err := unix.Dup(fd) // as between fork and exec
		if err != nil {
			t.Fatal(err)
		}
		copies++
		defer unix.Close(inherited)
	}
	if copies == 0 {
		t.Fatal("the lock has no handle")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}
