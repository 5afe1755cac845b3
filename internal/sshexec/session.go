// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// errNoSession says that the connection gave no session, so that nothing was started on the far side.
var errNoSession = errors.New("no session")

// session is one command on the far side. The Session of package ssh tells the exit status only when the channel is closed, and any
// process that inherited the command's output can put that off for ever.
type session struct {
	ssh.Channel
	exit     chan exitStatus // gets the status if there is one, and is closed with the channel
	problems *excerpt        // the beginning of the command's standard error
	silent   chan struct{}   // closed when problems has all that it gets
}

type exitStatus struct {
	code   int
	signal string // what ended the command, when it has no code
}

func open(ctx context.Context, client *ssh.Client, command string) (*session, error) {
	return await(ctx, func() (*session, error) {
		channel, requests, err := client.OpenChannel("session", nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoSession, err)
		}
		s := &session{Channel: channel, exit: make(chan exitStatus, 1), problems: &excerpt{}, silent: make(chan struct{})}
		go s.listen(requests)
		go func() {
			defer close(s.silent)
			_, _ = io.Copy(s.problems, channel.Stderr())
		}()
		accepted, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
		if err == nil && !accepted {
			err = errors.New("command is refused")
		}
		if err != nil {
			_ = channel.Close()
			return nil, fmt.Errorf("%w: %w", errNoSession, err)
		}
		return s, nil
	}, func(s *session) { _ = s.Close() })
}

// listen waits for the exit status; it returns when the channel or its connection is closed.
func (s *session) listen(requests <-chan *ssh.Request) {
	defer close(s.exit)
	told := false
	for r := range requests {
		var status exitStatus
		switch r.Type {
		case "exit-status":
			var body struct{ Code uint32 }
			if ssh.Unmarshal(r.Payload, &body) != nil {
				continue
			}
			status.code = int(body.Code)
		case "exit-signal":
			var body struct {
				Signal     string
				CoreDumped bool
				Message    string
				Language   string
			}
			if ssh.Unmarshal(r.Payload, &body) != nil {
				continue
			}
			status.signal = body.Signal
		default:
			_ = r.Reply(false, nil)
			continue
		}
		if !told {
			told = true
			s.exit <- status
		}
	}
}

// await returns f's result, or the cause when ctx ends first; undo then gets what f still brings.
func await[T any](ctx context.Context, f func() (T, error), undo func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	results := make(chan result, 1)
	go func() {
		value, err := f()
		results <- result{value, err}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		go func() {
			if r := <-results; r.err == nil {
				undo(r.value)
			}
		}()
		var none T
		return none, context.Cause(ctx)
	}
}

// excerpt keeps the beginning of what is written to it.
type excerpt struct {
	mu   sync.Mutex
	text []byte
}

const excerptSize = 1000

func (x *excerpt) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.text = append(x.text, p[:min(len(p), excerptSize-len(x.text))]...)
	return len(p), nil
}

func (x *excerpt) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return string(bytes.ToValidUTF8(bytes.TrimSpace(x.text), []byte("?")))
}
