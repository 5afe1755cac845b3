// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// binds has a thread of its own listen on a socket, by a name that means something in its directory or root only, for as long as this process
// lives.
func binds(t *testing.T, name string, flags int, enter func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			if err := errors.Join(unix.Unshare(unix.CLONE_FS|flags), enter()); err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: name}), unix.Listen(fd, 1))
			}
			return err
		}()
		select {} // a thread that ends would end what it has started
	}()
	if err := <-done; err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestSocketsStayByWhateverNameTheyWereBound: what the kernel knows is the file, and only where it does not tell are names a reason to leave
// something alone.
func TestSocketsStayByWhateverNameTheyWereBound(t *testing.T) {
	for _, kernel := range []string{"tells files", "tells names"} {
		t.Run(kernel, func(t *testing.T) {
			if at := os.Getenv(listener); at != "" {
				listenUntilEnd(t, at)
				return
			}
			if !ownNamespaces(t) {
				return
			}
			owned := open(t)
			plant(t, owned, "relative/deep/", "root/run/", "network/", "mount/shown/", "dead/", "alike/", "left/x")
			in := func(name string) string { return filepath.Join(owned, name) }
			binds(t, "socket", 0, func() error { return unix.Chdir(in("relative/deep")) })
			binds(t, "top", 0, func() error { return unix.Chdir(owned) })
			binds(t, "/run/chrooted", 0, func() error { return errors.Join(unix.Chroot(in("root")), unix.Chdir("/")) })
			listens(t, in("network"), "foreign", unix.CLONE_NEWNET)
			binds(t, "/srv/bound", unix.CLONE_NEWNS, func() error { return unix.Mount(in("mount/shown"), "/srv", "", unix.MS_BIND, "") })
			for _, name := range []string{"dead/gone", "alike/socket"} {
				l, err := net.ListenUnix("unix", &net.UnixAddr{Name: in(name)})
				if err != nil {
					t.Fatal(err)
				}
				l.SetUnlinkOnClose(false)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			want := []string{"mount", "network", "relative", "root", "top"}
			if kernel == "tells names" {
				want = append([]string{"alike"}, want...)
				without(t, unix.SYS_SOCKET)
			}
			s := spec.Spec{Owned: spec.Ownership{Paths: []string{owned}}, Goal: spec.Goal{Files: &spec.Files{}}}
			r := reach(t, s, scrub.Here{}, scrub.Do)
			if r.State != spec.Changed {
				t.Errorf("result %+v", r)
			}
			if told := strings.Join(r.Notes, "\n"); !strings.Contains(told, in("relative")+" stays: a program listens on a socket there") {
				t.Errorf("notes %q; want them to say why something stays", told)
			}
			entries, err := os.ReadDir(owned)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Name())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNamesOfSocketsElsewhereKeepNothing: what somebody calls so with other mounts is another place, and everybody can have such.
func TestNamesOfSocketsElsewhereKeepNothing(t *testing.T) {
	if at := os.Getenv(listener); at != "" {
		listenUntilEnd(t, at)
		return
	}
	if !ownNamespaces(t) {
		return
	}
	for name, flags := range map[string]string{"with other mounts": "-m", "and in another network": "-mn"} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			plant(t, p.owned, "app/left")
			p.leave(t, "mkfifo $X/p; exec <>$X/p; exec unshare "+flags+" sh -euc 'mount -t tmpfs none $O; mkdir $O/app; "+
				"exec env "+listener+"=$O/app/socket "+program+" -test.run=^TestNamesOfSocketsElsewhereKeepNothing$'")
			s := spec.Spec{Owned: spec.Ownership{Paths: []string{p.owned}}, Goal: spec.Goal{Files: &spec.Files{}}}
			if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Changed || len(listing(t, p.owned)) > 0 {
				t.Errorf("%s, left %q; want all to go (%+v)", r.State, listing(t, p.owned), r)
			}
		})
	}
}
