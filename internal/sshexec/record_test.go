// SPDX-License-Identifier: Apache-2.0

package sshexec_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

func TestRecordKeepsBeginningAndEndHoweverTheOutputIsCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		half := rapid.IntRange(1, 20).Draw(t, "half")
		record := sshexec.NewRecord(2 * half)
		var all []byte
		for _, part := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 60)).Draw(t, "parts") {
			if n, err := record.Write(part); n != len(part) || err != nil {
				t.Fatalf("write of %d bytes: got %d, %v", len(part), n, err)
			}
			all = append(all, part...)
		}
		want, fits := all, len(all) <= 2*half
		if !fits {
			cut := fmt.Appendf(nil, "\n[%d bytes left out]\n", len(all)-2*half)
			want = bytes.Join([][]byte{all[:half], all[len(all)-half:]}, cut)
		}
		for range 2 { // looking must not change it
			if got, whole := record.Bytes(); !bytes.Equal(got, want) || whole != fits {
				t.Fatalf("got %q, whole %t, want %q, %t", got, whole, want, fits)
			}
		}
	})
}
