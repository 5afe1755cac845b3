// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

// age is a length of time for people: two digits are enough.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 10*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// remaining is how long it is until something: rounded up, because a hold of an hour that was just set
// does not end in 59 minutes.
func remaining(d time.Duration) string {
	unit := time.Second
	switch {
	case d >= 10*time.Hour:
		unit = time.Hour
	case d >= 100*time.Second:
		unit = time.Minute
	}
	return age((d + unit - 1).Truncate(unit))
}

// since is the age of a time, "-" for none.
func (c *cli) since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(c.now().Sub(t))
}

// moment is a time with how far away it is; "" for none.
func (c *cli) moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if d := t.Sub(c.now()); d > 0 {
		return fmt.Sprintf("in %s (%s)", remaining(d), stamp(t))
	}
	return fmt.Sprintf("%s ago (%s)", c.since(t), stamp(t))
}

// stamp is a time of day in the zone of the user; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// took is how long something lasted, "-" before it ended.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "-"
	}
	d := to.Sub(from)
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// brief is a time without the date if that is today's.
func (c *cli) brief(t time.Time) string {
	t, now := t.Local(), c.now().Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return stamp(t)
}

func dash(s string) string { return cmp.Or(s, "-") }

// oneLine keeps a text from breaking the line of a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// bytesText is a size in the unit that people use.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < len("KMGTP")-1 {
		value /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[prefix])
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// lasting is the value of a flag with a length of time, days included.
type lasting struct{ config.Duration }

// Set reads a length of time.
func (l *lasting) Set(s string) error {
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return err
	}
	if l.Std() <= 0 {
		return fmt.Errorf("want a time like 90m, 36h or 7d, greater than 0")
	}
	return nil
}

// String is empty for none, so that help shows no default.
func (l *lasting) String() string {
	if l.Std() == 0 {
		return ""
	}
	return l.Duration.String()
}

// Type names the value in help.
func (l *lasting) Type() string { return "time" }
