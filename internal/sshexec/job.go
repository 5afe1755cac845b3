// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	_ "embed" // the far side's part is written in its own language
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// The far side's part: the functions that the two others share, the one that starts a program, the one that ends it.
var (
	//go:embed group.sh
	groupScript string
	//go:embed load.sh
	loadScript string
	//go:embed end.sh
	endScript string
)

// bootstrap is the whole command line. It reads a script up to its end mark and leaves the rest of standard input to it: read takes no
// byte too many, which nothing else promises. Written so that every login shell hands it on unchanged, csh and fish included.
const bootstrap = `exec sh -c 'nl=$(printf "\n."); nl=${nl%.}; s=; l=; ` +
	`while IFS= read -r l && [ "$l" != "#end" ]; do s=$s$l$nl; done; [ "$l" = "#end" ] && eval "$s"'`

const endMark = "#end\n"

// job is one program on its way to one target.
type job struct {
	addr    string
	program []byte
	env     map[string]string
	out     *outlet
	limits  Options
}

// started is what the far side announces just before the program's first act.
type started struct{ group, dir string }

// run returns the program's exit status, or an *Error.
func (j job) run(ctx context.Context, client *ssh.Client) (int, error) {
	s, err := open(ctx, client, bootstrap)
	if err != nil {
		return -1, &Error{Kind: NotStarted, Addr: j.addr, Err: err}
	}
	defer func() { _ = s.Close() }()
	word := "pitcrew-" + rand.Text()
	over, lease := make(chan struct{}), make(chan struct{})
	defer close(over)
	go j.feed(s, word, lease, over)
	announced := make(chan started, 1)
	drained := make(chan struct{})
	noise := &excerpt{}
	go func() {
		defer close(drained)
		j.read(s, word, announced, noise)
		<-s.silent
	}()

	select {
	case status, told := <-s.exit:
		if !told {
			return -1, &Error{Kind: Lost, Addr: j.addr, Err: errors.New("connection ended before the program did")}
		}
		j.drain(drained)
		select {
		case <-announced:
			return j.outcome(status)
		default:
			return -1, &Error{Kind: NotStarted, Addr: j.addr, Err: fmt.Errorf("exit status %d: %s %s", status.code, s.problems, noise)}
		}
	case <-ctx.Done():
		// The lease ends as well: so does a program that is just being started, or one that no second session reaches.
		close(lease)
		err := j.end(context.WithoutCancel(ctx), client, s, announced)
		if err != nil {
			return -1, &Error{Kind: Lost, Addr: j.addr, Err: fmt.Errorf("%w, and the program may go on: %w", context.Cause(ctx), err)}
		}
		j.drain(drained)
		return -1, &Error{Kind: Unfinished, Addr: j.addr, Err: context.Cause(ctx)}
	}
}

func (j job) outcome(status exitStatus) (int, error) {
	if status.signal != "" { // of the one that waits for the program
		return -1, &Error{Kind: Lost, Addr: j.addr, Err: fmt.Errorf("signal %s ended the session", status.signal)}
	}
	return status.code, nil
}

// payload is everything that goes through standard input; load.sh says what it reads.
func (j job) payload(word string) []byte {
	var b bytes.Buffer
	b.WriteString(groupScript + loadScript + endMark)
	fmt.Fprintf(&b, "%s\n%d\n%d\n", word, j.grace(), len(j.env))
	for _, name := range slices.Sorted(maps.Keys(j.env)) {
		fmt.Fprintf(&b, "%s=%s\n", name, j.env[name])
	}
	fmt.Fprintf(&b, "%d\n", len(j.program))
	b.Write(j.program)
	return b.Bytes()
}

// feed writes the payload and then holds the far side's lease until lease or over is closed. One goroutine does both, because a channel
// must not be closed for writing while it is written to.
func (j job) feed(s *session, word string, lease, over <-chan struct{}) {
	for part := range slices.Chunk(j.payload(word), 32<<10) {
		if _, err := s.Write(part); err != nil {
			return
		}
		select {
		case <-lease:
			_ = s.CloseWrite()
			return
		default:
		}
	}
	select {
	case <-lease:
		_ = s.CloseWrite()
	case <-over:
	}
}

// grace is in seconds, because a POSIX shell counts in nothing smaller.
func (j job) grace() int { return max(1, int(j.limits.Grace.Round(time.Second)/time.Second)) }

// read waits for the announcement and passes on what follows. What the user's shell may have printed before is noise.
func (j job) read(s *session, word string, announced chan<- started, noise io.Writer) {
	lines := bufio.NewReaderSize(s, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if _, rest, found := strings.Cut(string(line), word+" "); found {
			group, dir, _ := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
			announced <- started{group: group, dir: dir}
			break
		}
		_, _ = noise.Write(line)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
	_, _ = io.Copy(j.out, lines)
}

// drain waits for the rest of the output. The program has ended; others may hold its output open and even write to it.
func (j job) drain(drained <-chan struct{}) {
	limit := time.After(10 * j.limits.DrainTimeout)
	silence := time.NewTimer(j.limits.DrainTimeout)
	defer silence.Stop()
	for {
		select {
		case <-drained:
			return
		case <-j.out.wrote:
			silence.Reset(j.limits.DrainTimeout)
		case <-silence.C:
			return
		case <-limit:
			return
		}
	}
}

// end ends the program's process group and returns nil when none of it is left, or when it was never started.
func (j job) end(ctx context.Context, client *ssh.Client, s *session, announced <-chan started) error {
	// TERM and KILL have a grace each; the rest is for the network.
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Duration(j.grace())*time.Second+15*time.Second, errors.New("no answer in time"))
	defer cancel()
	select {
	case at := <-announced:
		return j.endGroup(ctx, client, at)
	case _, told := <-s.exit:
		select {
		case at := <-announced:
			return j.endGroup(ctx, client, at)
		default:
		}
		if !told {
			return errors.New("connection ended")
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (j job) endGroup(ctx context.Context, client *ssh.Client, at started) error {
	if group, err := strconv.Atoi(at.group); err != nil || group <= 1 {
		return fmt.Errorf("far side announced process group %q", at.group)
	}
	s, err := open(ctx, client, bootstrap)
	if err != nil {
		return fmt.Errorf("end process group %s: %w", at.group, err)
	}
	defer func() { _ = s.Close() }()
	go func() {
		_, _ = io.WriteString(s, groupScript+endScript+endMark+fmt.Sprintf("%s\n%s\n%d\n", at.group, at.dir, j.grace()))
		_ = s.CloseWrite()
	}()
	go func() { _, _ = io.Copy(io.Discard, s) }()
	select {
	case status, told := <-s.exit:
		if !told || status.code != 0 || status.signal != "" {
			j.drain(s.silent)
			return fmt.Errorf("end process group %s: exit status %d %s %s", at.group, status.code, status.signal, s.problems)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end process group %s: %w", at.group, context.Cause(ctx))
	}
}
