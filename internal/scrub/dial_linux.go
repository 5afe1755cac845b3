// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Package net would add a tenth to the size of scrub, and its own way of looking names up is not that of the machine.

// errUnknownName says that the name service was asked and knows no such name.
var errUnknownName = errors.New("the name service of the machine knows no such name")

// lookUp returns the addresses of a host, in the order in which programs try them.
func (h Here) lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	getent, err := h.tool("getent")
	if err != nil {
		return nil, fmt.Errorf("names cannot be looked up: %w", err)
	}
	text, err := getent.run(ctx, "ahosts", host)
	if exit, failed := errors.AsType[Exit](err); failed && exit.Code == 2 { // getent(1)
		return nil, errUnknownName
	}
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for line := range strings.Lines(string(text)) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if addr, err := netip.ParseAddr(word); err == nil && !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	if len(all) == 0 {
		return nil, errUnknownName
	}
	return all, nil
}

// dial connects to the first address that lets us: by TCP with unix.SOCK_STREAM, by UDP with unix.SOCK_DGRAM. Each has a
// share of the time, so that one that nothing comes back from does not hide the others. What is read or written later ends
// with ctx, too.
func (h Here) dial(ctx context.Context, kind int, host string, port uint16) (*os.File, error) {
	addrs, err := h.lookUp(ctx, host)
	if err != nil {
		return nil, err
	}
	var last error
	for i, addr := range addrs {
		var until time.Time
		if end, ok := ctx.Deadline(); ok && i < len(addrs)-1 {
			until = time.Now().Add(time.Until(end) / time.Duration(len(addrs)-i))
		}
		conn, err := connectTo(ctx, kind, addr, port, until)
		if err == nil {
			return conn, nil
		}
		if last = fmt.Errorf("connect to %s: %w", netip.AddrPortFrom(addr, port), err); ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

func connectTo(ctx context.Context, kind int, addr netip.Addr, port uint16, until time.Time) (*os.File, error) {
	family := unix.AF_INET6
	var to unix.Sockaddr = &unix.SockaddrInet6{Port: int(port), Addr: addr.As16()}
	if addr = addr.Unmap(); addr.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(port), Addr: addr.As4()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EINTR) {
		_ = unix.Close(fd)
		return nil, err
	}
	conn := os.NewFile(uintptr(fd), addr.String())
	_ = conn.SetDeadline(until)
	end := func() { _ = conn.SetDeadline(time.Unix(1, 0)) }
	stop := context.AfterFunc(ctx, end)
	if err := connected(conn); err != nil {
		stop()
		_ = conn.Close()
		if ctx.Err() != nil {
			err = stopped(ctx)
		}
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	if ctx.Err() != nil { // and has been overruled
		end()
	}
	return conn, nil
}

// connected waits until a connection that has begun is there.
func connected(conn *os.File) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if failed = err; failed != nil {
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil
	})
	return errors.Join(err, failed)
}
