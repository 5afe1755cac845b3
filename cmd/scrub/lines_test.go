// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestNoLineBeginsByItself(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\n":             "| a\n",
		"a\nb\n":          "| a\n| b\n",
		"a\rPITCREW-\n":   "| a\n| PITCREW-\n",
		"\x1b[2K\x1b[G\n": "| ^[[2K^[[G\n",
		"\n\n":            "| \n| \n",
		"":                "",
	} {
		var whole, pieces strings.Builder
		fmt.Fprint(&lines{w: &whole}, text)
		l := &lines{w: &pieces}
		for _, c := range []byte(text) {
			if n, err := l.Write([]byte{c}); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
		if whole.String() != want || pieces.String() != want || string(l.tail) != text {
			t.Errorf("%q: %q, in pieces %q, kept %q; want %q", text, whole.String(), pieces.String(), l.tail, want)
		}
	}
}

func TestTheEndIsKept(t *testing.T) {
	t.Parallel()
	l := &lines{w: &strings.Builder{}}
	for i := range 2000 {
		fmt.Fprintf(l, "line %d\n", i)
	}
	if len(l.tail) != tailSize || !strings.HasSuffix(string(l.tail), "line 1999\n") {
		t.Errorf("kept %d bytes: ...%q", len(l.tail), l.tail[len(l.tail)-20:])
	}
}
