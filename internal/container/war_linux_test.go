// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/container"
)

// warSpec is that of a controller whose java is testdata/jenkins.
func warSpec(t *testing.T, options ...string) container.Spec {
	t.Helper()
	java, err := fake()
	if err != nil {
		t.Fatal(err)
	}
	war := filepath.Join(t.TempDir(), "jenkins.war")
	if err := os.WriteFile(war, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := container.Spec{War: container.War{File: war, Java: java, Dir: t.TempDir()}, ReadyWithin: waitLimit}
	for _, o := range options {
		s.JavaOptions = append(s.JavaOptions, "-Dfake."+o)
	}
	return s
}

// homes are what there is in the directory of a war.
func homes(t *testing.T, s container.Spec) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(s.War.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// javas are the processes that have a home below a directory, by their command lines.
func javas(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	var all []int
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		if strings.Contains(string(text), "\x00-DJENKINS_HOME="+dir+"/") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all = append(all, pid)
		}
	}
	return all
}

func TestWarStartsAndStops(t *testing.T) {
	t.Parallel()
	s := warSpec(t)
	var out log
	s.Log = &out
	c := start(t, s)
	serves(t, c)
	dirs := homes(t, s)
	if len(dirs) != 1 {
		t.Fatalf("homes: %q", dirs)
	}
	for _, dir := range []string{dirs[0], filepath.Join(dirs[0], "home")} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, mode %v", dir, err, info.Mode())
		}
	}
	if _, err := os.Stat(filepath.Join(dirs[0], "home/pitcrew-seed/token")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file with the token: %v; want it gone", err)
	}
	pids := javas(t, s.War.Dir)
	if len(pids) != 1 {
		t.Fatalf("processes: %v", pids)
	}
	if group, err := syscall.Getpgid(pids[0]); err != nil || group != pids[0] {
		t.Errorf("its process group is %d, %v; want its own", group, err)
	}
	secret := strings.TrimPrefix(string(c.Token()), "11")
	if said := processes(t); strings.Contains(said, secret) || !strings.Contains(said, dirs[0]) {
		t.Error("the token stands in the process list, or the list was not seen")
	}
	if strings.Contains(out.String(), secret) || !strings.Contains(out.String(), "up and running at "+c.URL()+"/") {
		t.Errorf("the log holds the token or not the URL:\n%s", strings.ReplaceAll(out.String(), secret, "SECRET"))
	}
	stopped(t, c)
	if left := homes(t, s); len(left) != 0 || len(javas(t, s.War.Dir)) != 0 {
		t.Errorf("left: %q, processes %v", left, javas(t, s.War.Dir))
	}
}

func TestWarFailsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	soon := func(s *container.Spec) { s.ReadyWithin = time.Second }
	for name, f := range map[string]struct {
		options []string
		bend    func(*container.Spec)
		says    []string
	}{
		"no war":    {bend: func(s *container.Spec) { s.War.File = "/no/such/jenkins.war" }, says: []string{"/no/such/jenkins.war"}},
		"no java":   {bend: func(s *container.Spec) { s.War.Java = "/no/such/java" }, says: []string{"find java", "/no/such/java"}},
		"no dir":    {bend: func(s *container.Spec) { s.War.Dir = "/no/such/dir" }, says: []string{"/no/such/dir"}},
		"exits":     {options: []string{"noise=2", "exit=3"}, says: []string{"exit status 3", "noise 1 on stderr", "exits at once"}},
		"503":       {options: []string{"dead=waits"}, bend: soon, says: []string{"not ready within 1s", "503", "waits"}},
		"dead boot": {options: []string{"dead=SEVERE: Failed to initialize Jenkins"}, says: []string{"its boot has failed", "SEVERE"}},
		"open":      {options: []string{"open=yes"}, says: []string{"lets anybody in"}},
		"token":     {options: []string{"token=11ffffffffffffffffffffffffffffffff"}, says: []string{"refuses the token of pitcrew"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := warSpec(t, f.options...)
			dir := s.War.Dir
			if f.bend != nil {
				f.bend(&s)
			}
			c, err := container.Start(t.Context(), s)
			if err == nil {
				c.Stop(t.Context())
				t.Fatal("it started")
			}
			for _, part := range f.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("it says %v; want %q in it", err, part)
				}
			}
			s.War.Dir = dir
			if left := homes(t, s); len(left) != 0 || len(javas(t, dir)) != 0 {
				t.Errorf("left: %q, processes %v", left, javas(t, dir))
			}
		})
	}
}

func TestWarIsCancelledWhileItBoots(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"", "Running from", "waits"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			cut := errors.New("cut")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if at == "" {
				cancel(cut)
			}
			s := warSpec(t, "dead=waits")
			s.Log = &log{told: func(line string) {
				if strings.Contains(line, at) {
					cancel(cut)
				}
			}}
			if _, err := container.Start(ctx, s); !errors.Is(err, cut) {
				t.Errorf("it says %v", err)
			}
			if left := homes(t, s); len(left) != 0 || len(javas(t, s.War.Dir)) != 0 {
				t.Errorf("left: %q, processes %v", left, javas(t, s.War.Dir))
			}
		})
	}
}

func TestWarTakesAnotherPortWhenItsOwnWasTaken(t *testing.T) {
	t.Parallel()
	once := filepath.Join(t.TempDir(), "once")
	if err := os.WriteFile(once, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := warSpec(t, "taken="+once)
	var out log
	s.Log = &out
	serves(t, start(t, s))
	if starts := strings.Count(out.String(), "Running from"); starts != 2 {
		t.Errorf("it was started %d times, want 2", starts)
	}
}

// Whoever listens there would be asked whether it is ready, with the token of the controller that is to come.
func TestWarIsNotStartedWhereItsPortIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := warSpec(t)
	var out log
	s.Bind, s.Log = l.Addr().String(), &out
	_, err = container.Start(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), s.Bind+" is not free") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("it says %v, want that %s is not free", err, s.Bind)
	}
	if left := homes(t, s); out.String() != "" || len(left) != 0 {
		t.Errorf("java was started, and said %q; left: %q", out.String(), left)
	}
}

func TestWarThatDiesIsSeen(t *testing.T) {
	t.Parallel()
	s := warSpec(t, "noise=1")
	c := start(t, s)
	if err := syscall.Kill(javas(t, s.War.Dir)[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := dies(t, c)
	if !strings.Contains(err.Error(), "signal: killed") || !strings.Contains(err.Error(), "noise 0 on stdout") {
		t.Errorf("it says %v; want the signal and the log", err)
	}
	var with *container.Error
	if !errors.As(err, &with) || with.Log == "" {
		t.Errorf("%T does not hold the log", err)
	}
}

// The death signal belongs to a thread. The one that called Start may end long before the controller.
func TestWarOutlivesTheThreadThatStartedIt(t *testing.T) {
	t.Parallel()
	s := warSpec(t)
	type result struct {
		c   *container.Controller
		err error
		tid int
	}
	results := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		r := result{tid: unix.Gettid()}
		r.c, r.err = container.Start(context.WithoutCancel(t.Context()), s)
		results <- r
	}()
	r := <-results
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer func() { stopped(t, r.c) }()
	if r.tid != os.Getpid() { // the main thread is kept
		eventually(t, "the thread has ended", func() bool {
			_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", r.tid))
			return err != nil
		})
	}
	serves(t, r.c)
}

func TestWarDiesWithItsOwnerAndItsHomeIsSwept(t *testing.T) {
	t.Parallel()
	s := warSpec(t)
	mine := start(t, s)
	o := startOwner(t, s)
	left := container.Leftovers{Engine: "/no/such/socket", Dir: s.War.Dir}
	if removed, err := container.Sweep(t.Context(), left); !errors.Is(err, container.ErrNoEngine) || len(removed) != 0 {
		t.Errorf("a sweep while all live: %q, %v", removed, err)
	}
	if n := len(javas(t, s.War.Dir)); n != 2 {
		t.Fatalf("%d processes, want 2", n)
	}
	o.kill(t)
	eventually(t, "its java is dead as well", func() bool { return len(javas(t, s.War.Dir)) == 1 })
	removed, err := container.Sweep(t.Context(), left)
	if !errors.Is(err, container.ErrNoEngine) || len(removed) != 1 || len(homes(t, s)) != 1 {
		t.Errorf("removed %q, %v, left %q", removed, err, homes(t, s))
	}
	serves(t, mine)
}
