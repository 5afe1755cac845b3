// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"regexp"
	"sync"
)

// wire is a piece of network that can be cut: it passes on what comes to an address of its own.
type wire struct {
	url string // of the far end, by this wire; without trailing slash

	to     string
	listen net.Listener
	mu     sync.Mutex
	torn   bool              // guarded by mu
	trap   *trap             // nil = none; guarded by mu
	passes chan struct{}     // closed while anything passes; guarded by mu
	ends   map[net.Conn]bool // of all connections; guarded by mu
	under  sync.WaitGroup    // of what passes things on
}

// wire lays one to a root address.
func (s *scene) wire(address string) *wire {
	s.Helper()
	to, err := url.Parse(address)
	s.must(err)
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	w := &wire{to: to.Host, listen: listen, passes: make(chan struct{}), ends: map[net.Conn]bool{}}
	close(w.passes)
	to.Host = listen.Addr().String()
	w.url = to.String()
	w.under.Go(w.accept)
	s.Cleanup(func() {
		_ = listen.Close()
		w.tear()
		w.mend()
		w.under.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		near, err := w.listen.Accept()
		if err != nil {
			return // closed
		}
		w.under.Go(func() { w.connect(near) })
	}
}

func (w *wire) connect(near net.Conn) {
	w.wait()
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		reset(near)
		return
	}
	if !w.has(near, far) {
		return
	}
	defer w.lets(near, far)
	answers := make(chan *trap, 1) // that what comes next from the far end springs
	w.under.Go(func() {
		w.pass(near, far, func(text []byte) {
			switch t := w.springs(text); {
			case t == nil:
			case t.answered:
				answers <- t
			default:
				t.spring()
			}
		})
	})
	w.pass(far, near, func([]byte) {
		select {
		case t := <-answers:
			t.spring()
		default:
		}
	})
}

// trap is sprung by a request on a wire: before it passes, or before its answer does, which waits for spring in either case.
type trap struct {
	line     *regexp.Regexp // method and path of the request
	answered bool
	spring   func()
}

// set sets a trap, which springs once, in place of the one that was there; nil removes that.
func (w *wire) set(t *trap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trap = t
}

// springs takes up the trap that is sprung by what passes, nil if none is. Clients write each request by itself.
func (w *wire) springs(text []byte) *trap {
	line, _, _ := bytes.Cut(text, []byte("\r\n"))
	w.mu.Lock()
	defer w.mu.Unlock()
	line, isRequest := bytes.CutSuffix(line, []byte(" HTTP/1.1"))
	t := w.trap
	if !isRequest || t == nil || !t.line.Match(line) {
		return nil
	}
	w.trap = nil
	return t
}

// has takes a connection up, unless the wire is torn.
func (w *wire) has(near, far net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.torn {
		reset(near)
		reset(far)
		return false
	}
	w.ends[near], w.ends[far] = true, true
	return true
}

func (w *wire) lets(near, far net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ends, near)
	delete(w.ends, far)
	_ = near.Close()
	_ = far.Close()
}

// pass passes on what comes, the end of it included, each only while the wire is whole. See sees it before.
func (w *wire) pass(from, to net.Conn, see func(text []byte)) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		see(buffer[:n])
		w.wait()
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			if errors.Is(err, io.EOF) {
				_ = to.(*net.TCPConn).CloseWrite() // the other way may go on
				return
			}
			reset(to)
			reset(from)
			return
		}
	}
}

// wait waits until the wire is not silent.
func (w *wire) wait() {
	w.mu.Lock()
	passes := w.passes
	w.mu.Unlock()
	<-passes
}

// tear cuts the wire so that both ends notice: connections are reset, and new ones, too.
func (w *wire) tear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.torn = true
	for end := range w.ends {
		reset(end)
	}
}

// silence cuts it so that nobody notices: nothing passes, and what was sent passes when it is mended.
func (w *wire) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passes = make(chan struct{})
}

// mend ends either cut.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.torn = false
	select {
	case <-w.passes:
	default:
		close(w.passes)
	}
}

func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close() // perhaps closed already
}
