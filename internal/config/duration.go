// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

const (
	day         = 24 * time.Hour
	maxDuration = 36500 * day
)

// Duration is a length of time, written like 90s, 1h30m, 14d or 1d12h. It is never negative.
type Duration time.Duration

// Std returns d in the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// UnmarshalText reads a duration with a unit; only 0 may go without.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := parseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

var errDuration = errors.New("want a duration such as 90s, 1h30m or 14d")

func parseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, errors.New("unit missing: write " + s + "s, " + s + "m, " + s + "h or " + s + "d")
	}
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil {
		return 0, errDuration
	}
	if time.Duration(n) > maxDuration/day {
		return 0, errors.New("longer than 100 years")
	}
	var parsed time.Duration
	if rest != "" || !hasDays {
		if parsed, err = time.ParseDuration(rest); err != nil || strings.ContainsAny(rest, "+-") {
			return 0, errDuration
		}
	}
	if parsed > maxDuration-time.Duration(n)*day {
		return 0, errors.New("longer than 100 years")
	}
	return time.Duration(n)*day + parsed, nil
}

// MarshalText writes d as [Duration.String] does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes d in the form that UnmarshalText reads, in days where it is whole days.
func (d Duration) String() string {
	std := time.Duration(d)
	switch {
	case std == 0:
		return "0"
	case std%day == 0:
		return strconv.FormatInt(int64(std/day), 10) + "d"
	case std%time.Hour == 0:
		return strings.TrimSuffix(std.String(), "0m0s")
	case std%time.Minute == 0:
		return strings.TrimSuffix(std.String(), "0s")
	default:
		return std.String()
	}
}
