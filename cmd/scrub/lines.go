// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
)

// tailSize is how much of what a step has printed is kept for the report, in bytes.
const tailSize = 4096

// lines prints for a program that runs a step: each line begins with "| ", so that none is taken for one of the program's own,
// whatever a name holds. It keeps the end of what was printed.
type lines struct {
	w      io.Writer
	inside bool // a line has begun
	tail   []byte
}

func (l *lines) Write(text []byte) (int, error) {
	l.tail = append(l.tail, text...)
	l.tail = l.tail[max(0, len(l.tail)-tailSize):]
	var b bytes.Buffer
	for _, c := range text {
		if !l.inside {
			b.WriteString("| ")
			l.inside = true
		}
		switch c {
		case '\r', '\n':
			b.WriteByte('\n')
			l.inside = false
		case '\x1b':
			b.WriteString("^[")
		default:
			b.WriteByte(c)
		}
	}
	if _, err := l.w.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(text), nil
}
