// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// eachElement calls each at each element of the array that is the member named key of a JSON object, for it to take the
// element. Other members are skipped. It is an error if the member is missing: an answer that is not what was asked for
// must not pass for an empty one.
func eachElement(data []byte, key string, each func(*scan) error) error {
	s := scan{data: data}
	found := false
	err := s.list('{', '}', func() error {
		name, err := s.value()
		if err != nil {
			return err
		}
		var member string
		if err := json.Unmarshal(name, &member); err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		if member != key {
			raw, err := s.value()
			if err == nil && !json.Valid(raw) {
				err = errShape
			}
			return err
		}
		found = true
		return s.list('[', ']', func() error { return each(&s) })
	})
	if err == nil && !found {
		err = fmt.Errorf("answer has no member %q", key)
	}
	return err
}

// scan goes through JSON without looking into values: whoever takes one must see to it that it is JSON, since its end is
// found by its brackets alone.
type scan struct {
	data []byte
	at   int
}

// next is the next byte that is no space; false at the end.
func (s *scan) next() (byte, bool) {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c, true
		}
	}
	return 0, false
}

func (s *scan) take(want byte) error {
	switch c, ok := s.next(); {
	case !ok:
		return io.ErrUnexpectedEOF
	case c != want:
		return errShape
	}
	s.at++
	return nil
}

// list calls each at each element between two brackets.
func (s *scan) list(from, to byte, each func() error) error {
	if err := s.take(from); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if c, _ := s.next(); c == to && n == 0 {
			break
		}
		if err := each(); err != nil {
			return err
		}
		if c, _ := s.next(); c == to {
			break
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
	s.at++
	return nil
}

// same takes the next value if it is written as an object that was taken before: where that ends depends on nothing behind it.
func (s *scan) same(object []byte) bool {
	c, _ := s.next()
	if c != '{' || !bytes.HasPrefix(s.data[s.at:], object) {
		return false
	}
	s.at += len(object)
	return true
}

// value returns the next value as it is written.
func (s *scan) value() ([]byte, error) {
	c, ok := s.next()
	if !ok {
		return nil, io.ErrUnexpectedEOF
	}
	start := s.at
	switch c {
	case '{', '[':
		return s.nested(start)
	case '"':
		return s.text(start)
	}
	for s.at < len(s.data) && !bytes.ContainsRune([]byte(" \t\r\n,:]}"), rune(s.data[s.at])) {
		s.at++
	}
	if s.at == start {
		return nil, errShape
	}
	return s.data[start:s.at], nil
}

// nested goes to the bracket that closes the one at start.
func (s *scan) nested(start int) ([]byte, error) {
	for depth := 0; s.at < len(s.data); {
		switch s.data[s.at] {
		case '"':
			if _, err := s.text(s.at); err != nil {
				return nil, err
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.at++
		if depth == 0 {
			return s.data[start:s.at], nil
		}
	}
	return nil, io.ErrUnexpectedEOF
}

// text goes behind the quote that closes the one at start.
func (s *scan) text(start int) ([]byte, error) {
	for s.at = start + 1; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case '"':
			s.at++
			return s.data[start:s.at], nil
		case '\\':
			s.at++
		}
	}
	s.at = len(s.data)
	return nil, io.ErrUnexpectedEOF
}
