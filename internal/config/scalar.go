// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strconv"
	"strings"
)

// Share is a part of a number of agents: a percentage ("20%") or a plain number ("3").
type Share struct {
	n       int
	percent bool
}

// Of returns how many of total agents the share is, rounded up, at most total.
func (s Share) Of(total int) int {
	if s.percent {
		return (total*s.n + 99) / 100
	}
	return min(s.n, total)
}

// Besides returns how many of total agents must stay where some may be taken out of use, lent or verified again: as Of, but a
// percentage below 100% never means all of them, for rounded up it would keep the only agent of a pool from either.
func (s Share) Besides(total int) int {
	if s.percent && s.n < 100 {
		return min(s.Of(total), max(0, total-1))
	}
	return s.Of(total)
}

// IsZero reports whether the share is nothing, in whichever form.
func (s Share) IsZero() bool { return s.n == 0 }

// UnmarshalText reads a percentage from 0% to 100%, or a number.
func (s *Share) UnmarshalText(text []byte) error {
	digits, percent := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseUint(digits, 10, 20)
	if err != nil || percent && n > 100 {
		return errors.New("want a percentage such as 20%, or a number of agents")
	}
	*s = Share{n: int(n), percent: percent}
	return nil
}

// MarshalText writes s as [Share.String] does.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String writes s in the form that UnmarshalText reads.
func (s Share) String() string {
	if s.percent {
		return strconv.Itoa(s.n) + "%"
	}
	return strconv.Itoa(s.n)
}

// Pause is the reason why nothing new is started; empty if nothing is paused.
type Pause string

// pausedPlainly is the reason for those who give none.
const pausedPlainly = "paused in the configuration file"

// UnmarshalText reads a reason, or true or false.
func (p *Pause) UnmarshalText(text []byte) error {
	switch s := strings.TrimSpace(string(text)); s {
	case "false":
		*p = ""
	case "true":
		*p = pausedPlainly
	default:
		*p = Pause(s)
	}
	return nil
}
