// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"fmt"
)

// face is what the page says an agent is, in one word.
type face struct {
	Class string // of the style sheet
	Word  string
	Means string
}

// faces are in the order in which they are counted and explained.
var faces = []face{
	{"clean", "clean", "proven clean; the next build may take it"},
	{"used", "in use", "a build runs on it"},
	{"cleaning", "cleaning", "a cleanup has it"},
	{"due", "due", "waits for its cleanup"},
	{"quarantined", "quarantined", "kept out after failures"},
	{"held", "held", "kept out by a person"},
	{"offline", "offline", "no build can start there"},
	{"new", "new", "carries the label, and is not ours yet"},
}

// faceOf tells hygiene and occupancy together: what matters most to somebody who waits for agents.
func faceOf(a agent) face {
	switch {
	case a.Hygiene == "cleaning":
		return named("cleaning")
	case a.Occupancy == "busy":
		return named("used")
	case a.Hygiene == "quarantined":
		return named("quarantined")
	case a.Hold != nil:
		return named("held")
	case a.Occupancy == "offline", a.Occupancy == "offline by a person", a.Occupancy == "unseen":
		return named("offline")
	case a.Hygiene == "unmanaged":
		return named("new")
	}
	return named(a.Hygiene)
}

func named(class string) face {
	for _, f := range faces {
		if f.Class == class {
			return f
		}
	}
	return face{Class: "other", Word: class}
}

// why is one line about an agent: the reason that a person would ask for first.
func why(a agent) string {
	switch {
	case a.Hold != nil && a.Hygiene != "cleaning":
		return fmt.Sprintf("held by %s: %s", a.Hold.By, a.Hold.Reason)
	case a.Quarantine != nil && a.Hygiene == "quarantined":
		return a.Quarantine.Reason
	case a.Build != "":
		return titleOf(a.Build)
	case a.Hygiene == "clean", a.Hygiene == "cleaning":
		return a.Reason
	}
	return cmp.Or(a.Why, a.Reason)
}
