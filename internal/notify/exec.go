// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// refusedForGood is the exit status by which a command says that it will never take this notice: EX_DATAERR of sysexits.
const refusedForGood = 65

// Exec starts a command for each notice, with the envelope on its standard input. The command sees PATH, HOME and the like, the variables
// PITCREW_NOTICE_ID, _TYPE, _SUMMARY, _CONTROLLER, _AGENT and _POOL, and nothing else of our environment, which may hold secrets.
type Exec struct {
	Command []string      // program and arguments; no shell has a hand in it
	Source  string        // of the envelope
	Timeout time.Duration // then its whole process group is ended; 0 = 30 s
	Grace   time.Duration // from TERM to KILL, and how long others may hold its output open after its end; 0 = 5 s
}

// Send implements Sender: exit status 0 takes the notice, 65 refuses it for good, any other means later.
func (e *Exec) Send(ctx context.Context, n Notice) error {
	if len(e.Command) == 0 {
		return &Refusal{Permanent: true, Err: errors.New("notification command is empty")}
	}
	body, err := encode(n, e.Source)
	if err != nil {
		return &Refusal{Permanent: true, Err: fmt.Errorf("encode notice: %w", err)}
	}
	timeout, grace := cmp.Or(e.Timeout, 30*time.Second), cmp.Or(e.Grace, 5*time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no end within %v", timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, e.Command[0], e.Command[1:]...)
	var stderr excerpt
	cmd.Stdin, cmd.Stderr, cmd.Env, cmd.WaitDelay = bytes.NewReader(body), &stderr, environment(n), grace
	inOwnGroup(cmd)
	err = cmd.Run()
	if ctx.Err() != nil {
		killGroup(cmd) // what TERM has not ended
		return fmt.Errorf("run %s: %w", e.Command[0], context.Cause(ctx))
	}
	return e.judge(err, stderr.String())
}

func (e *Exec) judge(err error, stderr string) error {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it has ended well and left somebody behind with its output
		return nil
	case errors.As(err, &exit):
		return &Refusal{Permanent: exit.ExitCode() == refusedForGood, Err: fmt.Errorf("run %s: %w: %s", e.Command[0], err, stderr)}
	}
	return fmt.Errorf("run %s: %w", e.Command[0], err)
}

func environment(n Notice) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	for _, pair := range [][2]string{
		{"ID", n.ID},
		{"TYPE", n.Type},
		{"SUMMARY", n.Summary},
		{"CONTROLLER", n.Subject.Controller},
		{"AGENT", n.Subject.Agent},
		{"POOL", n.Subject.Pool},
	} {
		env = append(env, "PITCREW_NOTICE_"+pair[0]+"="+strings.ReplaceAll(pair[1], "\x00", ""))
	}
	return env
}

// excerpt keeps the beginning of what a command says.
type excerpt struct{ text []byte }

func (x *excerpt) Write(p []byte) (int, error) {
	x.text = append(x.text, p[:min(len(p), excerptSize-len(x.text))]...)
	return len(p), nil
}

func (x *excerpt) String() string { return string(bytes.TrimSpace(x.text)) }
