// SPDX-License-Identifier: Apache-2.0

package rtnetlink

import (
	"bytes"
	"encoding/binary"
	"syscall"
)

// answer is what the kernel answers to one request.
type answer struct {
	sequence       uint32
	messages       []message
	ended, changed bool
}

// take reads a datagram. The error is the kernel's refusal, or that it cannot be understood.
func (a *answer) take(datagram []byte) error {
	for rest := datagram; len(rest) > 0 && !a.ended; {
		m, after, err := split(rest)
		if err != nil {
			return err
		}
		rest = after
		if m.sequence != a.sequence {
			continue
		}
		a.changed = a.changed || m.flags&flagInterrupted != 0
		switch m.kind {
		case typeDone, typeError:
			a.ended = true
			if err := refusal(m); err != nil {
				return err
			}
		default:
			m.body = bytes.Clone(m.body) // the buffer is used again
			a.messages = append(a.messages, m)
		}
	}
	return nil
}

// refusal is the error number that ends an answer, negative or 0. A table may end without one.
func refusal(m message) error {
	if len(m.body) < wordSize {
		if m.kind == typeDone {
			return nil
		}
		return errShort
	}
	if code := int32(binary.NativeEndian.Uint32(m.body)); code < 0 { //nolint:gosec // the kernel's type
		return syscall.Errno(-int64(code))
	}
	return nil
}
