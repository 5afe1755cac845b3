// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// FuzzReadEncodeRead reads what a program may be given. What is read is written as it is read.
func FuzzReadEncodeRead(f *testing.F) {
	for _, text := range []string{
		`{"version":1,"name":"p","owned":{"users":["ci"],"paths":["/srv/ci"]},"processes":{"cookies":true,"grace":5}}`,
		`{"version":1,"name":"f","owned":{"paths":["/srv/ci"]},"files":{"paths":["/srv/ci"],"older":86400,"size":1,"keep":["a*"]}}`,
		`{"version":1,"name":"d","owned":{},"disk":{"paths":["/"],"bytesFree":1,"inodesFree":2}}`,
		`{"version":1,"name":"c","owned":{"labels":["a=b"]},"containers":{"images":{"older":1,"keep":["r/a:b"]}}}`,
		`{"version":2}`, `{}`, `null`, `[`, "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := spec.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		_ = first.Kind()
		written, err := first.Encode()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := spec.Read(bytes.NewReader(written))
		if diff := cmp.Diff(first, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%q: %v (-first +again):\n%s", text, err, diff)
		}
	})
}
