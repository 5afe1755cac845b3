// SPDX-License-Identifier: Apache-2.0

package inbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/websocket"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

const (
	// writePatience bounds one record on its way to an agent that does not read.
	writePatience = 30 * time.Second
	// writePiece is how much of a file goes into one record.
	writePiece = 256 << 10
)

// link is the controller's end of one agent process's connection. It is put into
// service before the WebSocket exists, because only the controller can say
// whether the upgrade is to be granted; calls wait for the socket.
type link struct {
	opened chan struct{} // closed when conn is set
	done   chan struct{}
	over   sync.Once

	writing sync.Mutex // one record at a time
	conn    *websocket.Conn

	mu    sync.Mutex
	last  uint32           // number of the newest call
	calls map[uint32]*call // calls without a result
}

// call is a request that the agent has not finished.
type call struct {
	out    io.Writer
	result chan jenkinstest.StepResult // buffered, receives once
}

func newLink() *link {
	return &link{opened: make(chan struct{}), done: make(chan struct{}), calls: map[uint32]*call{}}
}

// serve reads the agent's records until the connection ends.
func (l *link) serve(conn *websocket.Conn) {
	conn.PayloadType = websocket.BinaryFrame
	l.conn = conn
	close(l.opened)
	defer l.Close("connection ended")
	go func() {
		<-l.done
		_ = conn.SetDeadline(time.Now()) // the read below must not outlive the link
	}()
	for {
		rec, err := readRecord(conn)
		if err != nil {
			return
		}
		l.receive(rec)
	}
}

func (l *link) receive(rec record) {
	l.mu.Lock()
	c := l.calls[rec.call]
	if rec.kind == kindDone {
		delete(l.calls, rec.call)
	}
	l.mu.Unlock()
	switch {
	case c == nil: // a hello, or the rest of a call we gave up on
	case rec.kind == kindOutput && c.out != nil:
		_, _ = c.out.Write(rec.payload) // a console that cannot be written does not end the build
	case rec.kind == kindDone:
		c.result <- stepResult(rec.payload)
	}
}

func stepResult(payload []byte) jenkinstest.StepResult {
	fields, err := decodeStrings(payload)
	if err != nil || len(fields) != 2 {
		return jenkinstest.StepResult{Exit: -1, Err: fmt.Errorf("read result of a step: %w", errShortList)}
	}
	exit, err := strconv.Atoi(fields[0])
	if err != nil {
		return jenkinstest.StepResult{Exit: -1, Err: fmt.Errorf("read result of a step: %w", err)}
	}
	if fields[1] != "" {
		return jenkinstest.StepResult{Exit: exit, Err: errors.New(fields[1])}
	}
	return jenkinstest.StepResult{Exit: exit}
}

// Run implements [jenkinstest.AgentLink].
func (l *link) Run(ctx context.Context, step jenkinstest.Step) jenkinstest.StepResult {
	for _, file := range step.Files {
		if res := l.write(ctx, path.Join(step.Workspace, file.Name), file.Data); res.Err != nil {
			return res
		}
	}
	fields := []string{step.Workspace, step.Script, strconv.Itoa(len(step.Args))}
	fields = append(fields, step.Args...)
	return l.do(ctx, kindRun, encodeStrings(append(fields, assignments(step.Env)...)...), step.Out)
}

// write makes a file in pieces, for the agent has little memory.
func (l *link) write(ctx context.Context, name string, data []byte) jenkinstest.StepResult {
	begin := byte(1)
	for {
		piece := data[:min(len(data), writePiece)]
		data = data[len(piece):]
		res := l.do(ctx, kindWrite, slices.Concat(encodeStrings(name), []byte{begin}, piece), nil)
		if res.Err != nil || len(data) == 0 {
			return res
		}
		begin = 0
	}
}

// Reap implements [jenkinstest.AgentLink].
func (l *link) Reap(ctx context.Context, cookies map[string]string) error {
	return l.do(ctx, kindKill, encodeStrings(assignments(cookies)...), nil).Err
}

func assignments(env map[string]string) []string {
	var lines []string
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	return lines
}

// do makes one call and waits for its result. When ctx ends first it asks the agent to stop, and does not wait for that:
// nor does Jenkins (hudson.remoting.Request#call).
func (l *link) do(ctx context.Context, kind byte, payload []byte, out io.Writer) jenkinstest.StepResult {
	lost := jenkinstest.StepResult{Exit: -1, Err: jenkinstest.ErrLinkLost}
	select {
	case <-l.opened:
	case <-l.done:
		return lost
	}
	number, c := l.register(out)
	if err := l.send(record{kind, number, payload}); err != nil {
		l.Close(err.Error())
		return lost
	}
	select {
	case res := <-c.result:
		return res
	case <-l.done:
		return lost
	case <-ctx.Done():
	}
	l.forget(number)
	if err := l.send(record{kind: kindStop, call: number}); err != nil {
		l.Close(err.Error())
		return lost
	}
	return jenkinstest.StepResult{Exit: -1, Err: context.Cause(ctx)}
}

func (l *link) register(out io.Writer) (uint32, *call) {
	c := &call{out: out, result: make(chan jenkinstest.StepResult, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.calls[l.last] = c
	return l.last, c
}

// forget drops what else comes of a call.
func (l *link) forget(number uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, number)
}

func (l *link) send(rec record) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.conn.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return err
	}
	_, err := l.conn.Write(rec.encode())
	return err
}

// Close implements [jenkinstest.AgentLink]. The agent sees the end of its
// connection, as it does when Jenkins closes a channel.
func (l *link) Close(string) {
	l.over.Do(func() { close(l.done) })
}

// Done implements [jenkinstest.AgentLink].
func (l *link) Done() <-chan struct{} { return l.done }
