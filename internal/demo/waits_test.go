// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	tests := []struct {
		values []int64
		want   *int64
	}{
		{nil, nil},
		{[]int64{7}, new(int64(7))},
		{[]int64{9, 1}, new(int64(9))},
		{[]int64{9, 1, 5}, new(int64(5))},
		{[]int64{4, 3, 2, 1}, new(int64(3))},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, median(slices.Clone(tt.values))); diff != "" {
			t.Errorf("median of %v (-want +got):\n%s", tt.values, diff)
		}
	}
}

func TestWaitsCountFromTheOrderToTheFirstLine(t *testing.T) {
	t.Parallel()
	began := time.Now()
	now := began.Add(time.Minute)
	line := func(after time.Duration) string { return fmt.Sprintf("%d\n", began.Add(after).UnixNano()) }
	tests := map[string]struct {
		first string // what the build wrote down, "" = nothing
		want  []int64
	}{
		"begun": {line(1500 * time.Millisecond), []int64{1500}},
		"still waiting counts with its time so far": {"", []int64{60_000}},
		"failed before its first line":              {failedFirst + "\n", nil},
		"is just writing its first line":            {line(time.Second)[:8], []int64{60_000}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := &track{dir: t.TempDir(), orders: []*placed{{id: "order-0001", since: began}}}
			if err := os.Mkdir(filepath.Join(tr.dir, "first"), 0o700); err != nil {
				t.Fatal(err)
			}
			if tt.first != "" {
				if err := os.WriteFile(filepath.Join(tr.dir, "first", "order-0001"), []byte(tt.first), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // what is known is not read again
				if got := tr.waits(now); !slices.Equal(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}
