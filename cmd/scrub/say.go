// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// say prints a result for people, one thing per line.
func say(w io.Writer, r spec.Result) {
	there, stays := "found", "still there"
	if r.State == spec.Planned {
		there, stays = "would go", "would stay"
	}
	differs, wrong := "found", "not as wanted"
	if r.State == spec.Planned {
		differs = "would be changed"
	}
	for _, f := range r.Differs {
		fmt.Fprintf(w, "%s: %s\n", differs, difference(f))
	}
	if !r.Kind.Cleans() || r.Kind.Judges() || len(r.Differs) > 0 {
		stays = wrong
	}
	for _, f := range r.Found {
		fmt.Fprintf(w, "%s: %s\n", there, residue(f))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s: %s: %s\n", stays, name(p.ID), p.Why)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	line := fmt.Sprintf("%s: %s", r.Kind, r.State)
	if r.Reason != "" {
		line += " (" + r.Reason + ")"
	}
	if r.Removed > 0 {
		line += fmt.Sprintf(", %d gone, %s", r.Removed, size(r.Bytes))
	}
	fmt.Fprintln(w, line)
}

// difference is what a goal that removes nothing is about.
func difference(r spec.Residue) string {
	text := r.Kind + " " + name(r.ID)
	if r.What != "" {
		text += ": " + name(r.What)
	}
	return text
}

func residue(r spec.Residue) string {
	parts := []string{r.Kind, name(r.ID)}
	if r.What != "" {
		parts = append(parts, name(r.What))
	}
	if r.Owner != "" {
		parts = append(parts, "of "+r.Owner)
	}
	if r.Bytes > 0 {
		parts = append(parts, size(r.Bytes))
	}
	if r.Age > 0 {
		parts = append(parts, "for "+age(r.Age.Duration()))
	}
	if c := r.Culprit; c != nil && c.Job != "" {
		parts = append(parts, fmt.Sprintf("left by %s #%d", name(c.Job), c.Build))
	}
	return strings.Join(parts, " ")
}

// name quotes what could break a line or hide in it.
func name(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func size(n int64) string {
	const k = 1000
	switch {
	case n < k*k:
		return fmt.Sprintf("%d kB", (n+k-1)/k)
	case n < k*k*k:
		return fmt.Sprintf("%.1f MB", float64(n)/(k*k))
	}
	return fmt.Sprintf("%.1f GB", float64(n)/(k*k*k))
}

// age is in days from the third day on: hundreds of hours tell nobody anything.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.Round(time.Second).String()
}
