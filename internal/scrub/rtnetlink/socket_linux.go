// SPDX-License-Identifier: Apache-2.0

package rtnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long the kernel may take for one answer, in seconds. It answers at once, or is in trouble.
	patience = 10
	// datagramSize is more than what the kernel sends at once: 32 KiB, or a whole message.
	datagramSize = 1 << 18
	// dumps bounds how often a table is asked for again that changed while it was sent.
	dumps = 20
)

// Links returns the links of this namespace.
func Links() ([]Link, error) {
	messages, err := dump(unix.NETLINK_ROUTE, typeGetLink, make([]byte, linkSize))
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return parseAll(messages, typeNewLink, parseLink)
}

// Routes returns the routes of IPv4 and IPv6, of all tables.
func Routes() ([]Route, error) {
	var all []Route
	for _, family := range []byte{familyIPv4, familyIPv6} {
		body := make([]byte, routeSize)
		body[0] = family
		messages, err := dump(unix.NETLINK_ROUTE, typeGetRoute, body)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		routes, err := parseAll(messages, typeNewRoute, parseRoute)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if r.IPv6 == (family == familyIPv6) { // without IPv6 the kernel answers with all that it has
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// Hops returns the next hops that routes refer to; none on kernels that do not have them.
func Hops() ([]Hop, error) {
	messages, err := dump(unix.NETLINK_ROUTE, typeGetHop, make([]byte, hopSize))
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list next hops: %w", err)
	}
	return parseAll(messages, typeNewHop, parseHop)
}

// UnixSockets returns the unix sockets of this network namespace that have a file, whoever holds them. The error is the kernel's if it
// does not tell: ENOENT, EOPNOTSUPP or EPROTONOSUPPORT where it lacks unix_diag, which it may have to load as a module.
func UnixSockets() ([]UnixSocket, error) {
	messages, err := dump(unix.NETLINK_SOCK_DIAG, typeSocket, unixRequest())
	if err != nil {
		return nil, fmt.Errorf("list unix sockets: %w", err)
	}
	all, err := parseAll(messages, typeSocket, parseUnix)
	return slices.DeleteFunc(all, func(s UnixSocket) bool { return s.Inode == 0 }), err
}

// Remove removes a link by its number. The error is the kernel's: ENODEV if it is gone, EPERM, EOPNOTSUPP of a physical
// device.
func Remove(index int) error {
	body := make([]byte, linkSize)
	binary.NativeEndian.PutUint32(body[4:], uint32(index)) //nolint:gosec // it came from there
	_, err := talk(unix.NETLINK_ROUTE, request(typeDelLink, flagAck, 1, body))
	return err
}

// dump asks for a table until one comes that did not change meanwhile.
func dump(protocol int, kind uint16, body []byte) ([]message, error) {
	for sequence := uint32(1); ; sequence++ {
		messages, err := talk(protocol, request(kind, flagDump, sequence, body))
		if !errors.Is(err, errChanged) || sequence == dumps {
			return messages, err
		}
	}
}

var errChanged = errors.New("the table keeps changing while it is read")

// talk sends a request and gathers the answers to it.
func talk(protocol int, request []byte) ([]message, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience}); err != nil {
		return nil, err
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	a := answer{sequence: binary.NativeEndian.Uint32(request[8:])}
	buffer := make([]byte, datagramSize)
	for !a.ended {
		n, _, flags, from, err := unix.Recvmsg(fd, buffer, nil, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if flags&unix.MSG_TRUNC != 0 {
			return nil, errShort
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
			continue // some process wrote to us
		}
		if err := a.take(buffer[:n]); err != nil {
			return nil, err
		}
	}
	if a.changed {
		return nil, errChanged
	}
	return a.messages, nil
}
