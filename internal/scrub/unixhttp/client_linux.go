// SPDX-License-Identifier: Apache-2.0

package unixhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Client asks the server that listens at a socket.
type Client struct {
	// Socket is its path.
	Socket string
	// Limit is how many bytes an answer may have.
	Limit int64
}

// Do sends a request without a body and returns the answer, whatever its status. The target is a path and a query, both
// escaped. It returns soon after ctx ends, even if the server does nothing.
func (c Client) Do(ctx context.Context, method, target string) (Response, error) {
	return c.Send(ctx, method, target, nil)
}

// Send is Do with a body of JSON; nil is none.
func (c Client) Send(ctx context.Context, method, target string, body []byte) (Response, error) {
	if strings.ContainsFunc(method+target, func(r rune) bool { return r <= ' ' || r > '~' }) || !strings.HasPrefix(target, "/") {
		return Response{}, fmt.Errorf("%q is no target of a request", target)
	}
	conn, err := connect(ctx, c.Socket)
	if err != nil {
		return Response{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := exchange(conn, method, target, body, c.Limit)
	if ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	return answer, err
}

func exchange(conn io.ReadWriter, method, target string, body []byte, limit int64) (Response, error) {
	kind := ""
	if body != nil {
		kind = "Content-Type: application/json\r\n"
	}
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: engine\r\nUser-Agent: scrub\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n", method, target, kind, len(body))
	// A server that refuses may answer and close before it has read all: what it says counts.
	_, sent := conn.Write(append(request, body...))
	answer, err := ReadResponse(bufio.NewReader(conn), limit)
	if errors.Is(err, io.EOF) {
		err = errors.New("it closed the connection without an answer")
	}
	if err != nil {
		return Response{}, errors.Join(sent, err)
	}
	return answer, nil
}

// pause is how long connect waits before it tries again where too many others wait to be served.
const pause = 20 * time.Millisecond

// connect goes around package net, which would add a fifth to the size of scrub.
func connect(ctx context.Context, socket string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	for {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), socket), nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN): // its queue is full
			_ = unix.Close(fd)
			return nil, os.NewSyscallError("connect", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			_ = unix.Close(fd)
			return nil, ctx.Err()
		}
	}
}

// Escape writes a name so that it can be one or several elements of a target's path, or a value of its query.
func Escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~/:@", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
