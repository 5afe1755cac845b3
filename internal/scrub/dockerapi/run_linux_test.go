// SPDX-License-Identifier: Apache-2.0

package dockerapi

import (
	"encoding/binary"
	"testing"
)

// FuzzSaid reads pieces as they come, and texts in pieces of some size, which have to come out whole.
func FuzzSaid(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x02hi\x02\x00\x00\x00\x00\x00\x00\x01!"), 1)
	f.Add([]byte("\x01\x00\x00\x00\xff\xff\xff\xffcut"), 3)
	f.Add([]byte("\x01\x00\x00"), 0)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		if got, err := said(text); len(got) > len(text) || err == nil && len(text) > 0 && len(text) < 8 {
			t.Errorf("%q, %v of %q", got, err, text)
		}
		size = max(1, size%1000)
		var pieces []byte
		for rest := text; len(rest) > 0; {
			n := min(size, len(rest))
			pieces = append(pieces, byte(1+len(rest)%2), 0, 0, 0)
			pieces = binary.BigEndian.AppendUint32(pieces, uint32(n))
			pieces = append(pieces, rest[:n]...)
			rest = rest[n:]
		}
		if got, err := said(pieces); err != nil || got != string(text) {
			t.Errorf("%q, %v; want %q", got, err, text)
		}
		if len(pieces) > 8 { // whoever is cut off in a piece has said what came before
			got, err := said(pieces[:len(pieces)-1])
			if err != nil || got != string(text[:len(text)-1]) {
				t.Errorf("cut off: %q, %v; want %q", got, err, text[:len(text)-1])
			}
		}
	})
}
