// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
)

// What is kept of a log.
const (
	tailLines = 40
	tailWidth = 1000 // bytes of one line
)

// Lines by which the log says what an answer does not.
const (
	bootFailed = "Failed to initialize Jenkins" // hudson.util.BootFailure#publish; it answers 503 for ever
	portTaken  = "Address already in use"       // java.net.BindException, in the words of the C library
)

// tail passes a log on and keeps its last lines. It never fails: a log that nobody takes is no reason to stall what writes it.
type tail struct {
	mu      sync.Mutex // guards all below; held while out is written to, which keeps its order
	out     io.Writer
	secret  string // not kept
	lines   []string
	partial []byte
	broken  bool // out has failed
	seen    map[string]bool
}

func newTail(out io.Writer, secret Token) *tail {
	return &tail{out: out, secret: string(secret), seen: map[string]bool{}}
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.broken {
		_, err := t.out.Write(p)
		t.broken = err != nil
	}
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		t.partial = append(t.partial, line[:min(len(line), max(0, tailWidth-len(t.partial)))]...)
		if whole {
			t.keep(string(t.partial))
			t.partial = t.partial[:0]
		}
		rest = after
	}
	return len(p), nil
}

func (t *tail) keep(line string) {
	for _, sign := range []string{bootFailed, portTaken} {
		if strings.Contains(line, sign) {
			t.seen[sign] = true
		}
	}
	if line = strings.TrimRight(line, "\r"); t.secret != "" {
		line = strings.ReplaceAll(line, t.secret, stars)
	}
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
}

// saw says whether a line with this sign has come.
func (t *tail) saw(sign string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[sign]
}

// text is what is kept.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if len(t.partial) > 0 {
		last := string(t.partial)
		if t.secret != "" {
			last = strings.ReplaceAll(last, t.secret, stars)
		}
		lines = append(slices.Clip(lines), last)
	}
	return strings.Join(lines, "\n")
}

// maxLine bounds what is kept back of a line that does not end.
const maxLine = 64 << 10

// lines passes one of several streams on by whole lines, so that what it has in pieces is not cut by another's.
type lines struct {
	to    io.Writer
	begun []byte
	got   int // bytes of the stream
	skip  int // bytes at its beginning that have been taken already
}

// again has the stream begin anew, and passes on what is new in it.
func (l *lines) again() { l.got, l.skip = 0, l.got }

func (l *lines) Write(p []byte) (int, error) {
	old := min(len(p), max(0, l.skip-l.got))
	l.got += len(p)
	l.begun = append(l.begun, p[old:]...)
	end := bytes.LastIndexByte(l.begun, '\n') + 1
	if end == 0 && len(l.begun) > maxLine {
		end = len(l.begun)
	}
	if end == 0 {
		return len(p), nil
	}
	_, err := l.to.Write(l.begun[:end])
	l.begun = append(l.begun[:0], l.begun[end:]...)
	return len(p), err
}

// flush passes on what has no end.
func (l *lines) flush() {
	_, _ = l.to.Write(l.begun) // a tail never fails
	l.begun = nil
}
