// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestSkewIsLearntFromAnswers(t *testing.T) {
	t.Parallel()
	// answer is one whose controller is ahead by d, sent at ms after the epoch and taking twice takes.
	answer := func(d time.Duration, ms int, takes time.Duration) hygiene.Skew {
		sent := epoch.Add(time.Duration(ms) * time.Millisecond)
		return hygiene.ReadSkew(sent, sent.Add(takes+d).Truncate(time.Second), sent.Add(2*takes))
	}
	const slow, quick = 2 * time.Second, time.Millisecond
	tests := []struct {
		name    string
		answers []hygiene.Skew
		want    time.Duration
		within  time.Duration
	}{
		{"nothing is known without a date", []hygiene.Skew{hygiene.ReadSkew(epoch, time.Time{}, epoch)}, 0, 0},
		{"clocks that agree are not called skewed", []hygiene.Skew{answer(0, 0, quick), answer(0, 400, quick), answer(0, 999, slow)}, 0, 0},
		{"one that is ahead", []hygiene.Skew{answer(10*time.Minute, 300, quick)}, 10 * time.Minute, time.Second},
		{"one that is behind", []hygiene.Skew{answer(-10*time.Minute, 300, quick)}, -10 * time.Minute, time.Second},
		{"more answers tell better", []hygiene.Skew{answer(time.Minute, 0, quick), answer(time.Minute, 980, quick)}, time.Minute, 20 * time.Millisecond},
		{"a slow answer does no harm", []hygiene.Skew{answer(time.Minute, 0, quick), answer(time.Minute, 980, quick), answer(time.Minute, 1500, slow)}, time.Minute, 20 * time.Millisecond},
		{"one without a date does none either", []hygiene.Skew{answer(time.Minute, 0, quick), {}}, time.Minute, time.Second},
		{"a clock that was set is believed at once", []hygiene.Skew{answer(time.Hour, 0, quick), answer(time.Hour, 700, quick), answer(-time.Hour, 1500, quick)}, -time.Hour, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s hygiene.Skew
			for _, a := range tt.answers {
				s = s.Narrow(a)
			}
			if got := s.Ahead(); (got - tt.want).Abs() > tt.within {
				t.Errorf("ahead by %s, want %s within %s", got, tt.want, tt.within)
			}
		})
	}
}
