// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A recipe's program has scrub serve: one process for all steps that come one after the other, as long as they end well. It is
// two, in a session of their own. The supervisor (this file) reads what is asked from its standard input and answers on its
// standard error; it keeps the time, and nothing that a step does can hold it up. The worker (worker_linux.go) does the steps.
//
// A request is one line, "STEP TRY LIMIT PHASE NAME": the number of the step, by which its directory below the program's is
// called, the number of the try, seconds, and the rest of the line. The answer is one of
//
//	stays CODE   the step has ended with exit code CODE, and another may be asked for
//	expired      its limit has passed; whoever asked has to end the session
//
// or that there is none: the step has ended with the exit code of the supervisor, which has ended too. So ends what has not plainly
// reached its goal, what has left something behind in the worker, and a worker that died. Before an answer comes a line with
// a dot every now and then: some shells act on a signal only once they have read a line.
const beat = 500 * time.Millisecond

// farewell is how long the worker may take to end when nobody waits for its answer any more.
const farewell = 5 * time.Second

// request is what is asked.
type request struct {
	step, try   string
	limit       time.Duration
	phase, name string
}

func parseRequest(line string) (request, error) {
	words := strings.SplitN(line, " ", 5)
	if len(words) != 5 {
		return request{}, fmt.Errorf("%q is no request", line)
	}
	_, err := strconv.ParseUint(words[0], 10, 32)
	limit, err2 := strconv.ParseUint(words[2], 10, 31)
	if err := cmp.Or(err, err2); err != nil {
		return request{}, fmt.Errorf("request %q: %w", line, err)
	}
	return request{words[0], words[1], time.Duration(limit) * time.Second, words[3], words[4]}, nil
}

// serve is scrub serve.
func serve(args []string) int {
	if len(args) == 2 && args[0] == asWorker {
		return work(args[1])
	}
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "scrub: serve wants one directory")
		return wrong
	}
	for fd := 3; fd < 10; fd++ { // what a shell may have left open to us
		syscall.CloseOnExec(fd)
	}
	_, _ = syscall.Setsid() // whoever leads a group already, as by a shell's job control, is known by that
	// The kernel ends the worker when the thread that started it ends.
	runtime.LockOSThread()
	s := supervisor{dir: args[0], requests: readLines(os.Stdin), signals: make(chan os.Signal, 8)}
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	code, err := s.run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "scrub: %s\n", err)
	}
	return code
}

type supervisor struct {
	dir      string
	requests <-chan string // closed when nobody can ask any more
	signals  chan os.Signal
	worker   *worker
}

// run serves until a step ends in a way that ends this.
func (s *supervisor) run() (int, error) {
	for {
		line, asked := "", false
		select {
		case line, asked = <-s.requests:
		case <-s.signals:
		}
		if !asked {
			return reached, nil
		}
		r, err := parseRequest(line)
		if err != nil {
			return wrong, err
		}
		if s.worker == nil {
			if s.worker, err = startWorker(s.dir, r.step); err != nil {
				return wrong, fmt.Errorf("start a worker: %w", err)
			}
		}
		if _, err := fmt.Fprintln(s.worker.requests, line); err != nil && !errors.Is(err, syscall.EPIPE) { // who has died is waited for
			return unmet, fmt.Errorf("ask the worker: %w", err)
		}
		if code, stays := s.attend(r); !stays {
			return code, nil
		} else if _, err := fmt.Fprintf(os.Stderr, "stays %d\n", code); err != nil {
			return code, nil //nolint:nilerr // whoever asked is told so by our end
		}
	}
}

// attend waits until the worker has done what is asked.
func (s *supervisor) attend(r request) (code int, stays bool) {
	limit, beats := time.After(r.limit), time.NewTicker(beat)
	defer beats.Stop()
	requests, ending := s.requests, false
	var gone <-chan time.Time
	say := func(word string) { fmt.Fprintln(os.Stderr, word) }
	for {
		select {
		case code, open := <-s.worker.replies:
			if open {
				return code, !ending
			}
			return s.worker.end(filepath.Join(s.dir, r.step)), false
		case <-limit:
			ending = true
			beats.Stop()
			say("expired")
		case <-beats.C:
			say(".")
		case <-s.signals:
			ending = true
			s.worker.stop()
		case <-requests: // closed: nobody asks before there is an answer
			requests, ending, gone = nil, true, time.After(farewell)
			s.worker.stop()
		case <-gone:
			return unmet, false
		}
	}
}

// worker is the process that does the steps, as its supervisor sees it.
type worker struct {
	command  *exec.Cmd
	requests io.Writer
	replies  <-chan int // exit codes; closed when it has ended
}

// startWorker starts one, whose first step has the number given: it gets what there is to say of a worker that cannot begin.
func startWorker(dir, step string) (*worker, error) {
	self := "/proc/self/exe" // this very program, whatever has become of the file it was read from
	if _, err := os.Stat(self); err != nil {
		self = os.Args[0]
	}
	asked, requests, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answers, replies, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	tail, err := os.OpenFile(filepath.Join(dir, step, "tail"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	c := exec.Command(self, "serve", asWorker, dir) //nolint:gosec,noctx // this very program, which ends with us
	c.Args[0] = "scrub"
	c.Stdout, c.Stderr, c.ExtraFiles = os.Stdout, tail, []*os.File{asked, replies}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = c.Start()
	for _, f := range []*os.File{asked, replies, tail} {
		_ = f.Close() // it has its own
	}
	codes := make(chan int)
	go func() {
		defer close(codes)
		for line := range readLines(answers) {
			if code, err := strconv.Atoi(line); err == nil {
				codes <- code
			}
		}
	}()
	return &worker{c, requests, codes}, err
}

// stop asks the worker to end its step. It has seen a signal to all of the session by itself.
func (w *worker) stop() { _ = w.command.Process.Signal(syscall.SIGTERM) }

// end returns the exit code of a worker that is ending, and notes in the step's directory what ended it if it was no exit.
func (w *worker) end(step string) int {
	_ = w.command.Wait() // its state says it
	status, ok := w.command.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return w.command.ProcessState.ExitCode()
	}
	why := fmt.Sprintf("scrub was ended by signal %d (%s)", status.Signal(), status.Signal())
	_ = os.WriteFile(filepath.Join(step, "reason"), []byte(why), 0o600) // the exit code says it too
	return 128 + int(status.Signal())
}

// readLines reads lines until there are no more, as when whoever writes them has gone.
func readLines(from io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(from); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}
