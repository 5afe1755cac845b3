// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// carrying compiles a recipe that carries a file of incompressible bytes.
func carrying(tb testing.TB, size int) *recipe.Program {
	tb.Helper()
	if size == 0 {
		return compile(tb)
	}
	blob := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(blob) // never fails
	r, err := recipe.Parse("test.yaml", []byte(
		"version: 1\nname: test\nclean:\n  - {name: sweep, run: test -s blob, carry: [blob]}\nverify:\n  - {name: swept, run: \"true\"}\n",
	), func(string) (recipe.File, error) { return recipe.File{Path: "blob", Content: blob}, nil })
	must(tb, err)
	program, err := r.Compile()
	must(tb, err)
	return program
}

// BenchmarkDelivery measures what programs of different sizes cost a controller: requests and bytes
// of one cleanup, and the bytes that stay on its disk.
func BenchmarkDelivery(b *testing.B) {
	const agents = 100
	for _, size := range []int{0, 700 << 10, 2 << 20} { // what a recipe carries: nothing, what is just embedded, a static program
		program := carrying(b, size)
		b.Run(fmt.Sprintf("program=%dkB", len(program.Text)/1000), func(b *testing.B) {
			for b.Loop() {
				w := newStopwatch()
				inBubble(b, func(t *testing.T) {
					t.Helper()
					crewCarrying(t, agents, program, w)
				})
				if len(w.reactions) < agents {
					b.Fatalf("too few cleanups: %d", len(w.reactions))
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(w.perCleanup, "requests/cleanup")
				b.ReportMetric(w.cleanupBytes, "B/cleanup")
				b.ReportMetric(median(w.reactions).Seconds(), "reaction-s")
				b.ReportMetric(float64(w.kept), "B/slot-on-disk")
				b.Log(program.Delivery())
				if limit := int64(6 * len(program.Text)); w.kept > limit || program.ByFile() != (w.kept > 0) {
					b.Errorf("%d bytes of files lie on the controller for one slot, want at most %d", w.kept, limit)
				}
			}
		})
	}
}
