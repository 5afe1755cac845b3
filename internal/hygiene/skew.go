// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// Skew is how far a controller's clock is ahead of ours, as bounds: an answer's Date has whole seconds,
// and was written some time between request and answer. The zero Skew knows nothing.
type Skew struct{ Min, Max time.Duration }

// dateTick is how exact the Date of an answer is; fractions are cut off.
const dateTick = time.Second

// ReadSkew returns what one answer tells: it bears date, and came at received to a request that was
// sent at sent.
func ReadSkew(sent, date, received time.Time) Skew {
	if date.IsZero() {
		return Skew{}
	}
	return Skew{Min: date.Sub(received), Max: date.Add(dateTick).Sub(sent)}
}

// Narrow returns what is known after one more answer. An answer that contradicts the earlier ones says
// that one of the clocks was set: then it alone counts.
func (s Skew) Narrow(next Skew) Skew {
	switch both := (Skew{Min: max(s.Min, next.Min), Max: min(s.Max, next.Max)}); {
	case next == Skew{}:
		return s
	case s == Skew{}, both.Min > both.Max:
		return next
	default:
		return both
	}
}

// Ahead returns the best guess: nothing if the clocks may well agree, else the middle of the bounds.
func (s Skew) Ahead() time.Duration {
	if s.Min <= 0 && s.Max >= 0 {
		return 0
	}
	return s.Min + (s.Max-s.Min)/2
}
