// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sync"
)

// answers are buffers for answers that are decoded at once.
var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxKept is the capacity up to which a buffer is used again.
const maxKept = 1 << 20

// readWhole hands the whole answer to use, which must keep none of it.
func readWhole(r *reply, use func([]byte) error) error {
	b := answers.Get().(*bytes.Buffer)
	b.Reset()
	defer func() {
		if b.Cap() <= maxKept {
			answers.Put(b)
		}
	}()
	b.Grow(int(r.length) + bytes.MinRead)
	if _, err := b.ReadFrom(r.body); err != nil {
		return err
	}
	return use(b.Bytes())
}

// readJSON decodes an answer that is one value. An answer that is cut off is [io.ErrUnexpectedEOF].
func readJSON(r *reply, v any) error {
	return readWhole(r, func(text []byte) error {
		err := json.Unmarshal(text, v)
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && syntax.Offset >= int64(len(text)) {
			return io.ErrUnexpectedEOF
		}
		return err
	})
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bounded fails with ErrTooLarge where io.LimitReader would pretend an end.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		if n, err := b.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, ErrTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
