// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func TestWhatRemainsIsRoundedUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second:                       "0s",
		300 * time.Millisecond:             "1s",
		time.Minute:                        "60s",
		time.Hour - time.Second:            "60m",
		2*time.Hour - time.Minute/2:        "2h00m",
		24*time.Hour - time.Second:         "24h",
		7*24*time.Hour - 1500*time.Second:  "7d",
		31*time.Hour + 20*time.Millisecond: "32h",
	} {
		if got := remaining(d); got != want {
			t.Errorf("remaining(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestAnEmptyListOfAgentsSaysWhy(t *testing.T) {
	t.Parallel()
	if got := nobody(api.AgentQuery{Held: true}); got != "No agents match." {
		t.Errorf("filtered: %q", got)
	}
	if got := nobody(api.AgentQuery{}); got == "No agents match." {
		t.Errorf("all: %q", got)
	}
}

func TestAQuarantineThatOnlyAReleaseEndsSaysSo(t *testing.T) {
	t.Parallel()
	c := &cli{now: func() time.Time { return noon }}
	a := api.Agent{Hygiene: "quarantined", State: "due", Quarantine: &api.Quarantine{Reason: "loses packets", By: "anna", Since: ago(time.Minute)}}
	for want, got := range map[string]string{
		"loses packets, until it is released":                  c.why(a),
		"by anna for 60s, until it is released: loses packets": c.quarantineText(a.Quarantine),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	a.Quarantine.NextLook, a.NextLook = noon.Add(time.Hour), noon.Add(time.Hour)
	if got, want := c.why(a), "loses packets, next look in 60m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A borrower says why it gives an agent back, and an operator's terminal shows it.
func TestWhatOthersSayDoesNothingToATerminal(t *testing.T) {
	t.Parallel()
	const said = "done\x1b]0;owned\x07 \x1b[2J\u202egood\u009b2J"
	c := &cli{getenv: func(string) string { return "" }, now: time.Now}
	l := api.Loan{ID: "l1", State: "returning", Reason: said, Agent: "a", Controller: "main"}
	event := api.Event{Type: "loan.returning", Reason: said}
	for what, text := range map[string]string{
		"loan show":    c.loan(&l),
		"loan list":    c.loanTable([]api.Loan{l}, true, 0),
		"a narrow one": c.loanTable([]api.Loan{l}, false, 60),
		"events":       c.eventLines([]api.Event{event}),
		"one event":    c.eventLine(event, 0, eventColumns{}),
		"output":       c.section("Output of a step", said),
		"progress":     snip(said, 80),
		"finding":      c.findingText("fail", "gate", said, said),
		"lost gate":    c.gateTable([]api.Gate{{Controller: "main", Mode: "gate lost", Problem: said}}),
		"drift":        c.gateTable([]api.Gate{{Controller: "main", Mode: "gate", Version: said, Drifted: []api.GateDrift{{Agent: said, Drift: "busy"}}}}),
	} {
		if strings.ContainsAny(text, "\x1b\x07\u202e\u009b") || !strings.Contains(text, "done") {
			t.Errorf("%s prints %q", what, text)
		}
	}
	for said, want := range map[string]string{
		"\x1b[31mfailed\x1b[0m\tby\n\x1b[31": "\x1b[31mfailed\x1b[0m\tby\n\ufffd[31",
		"a\x1b[8mhidden":                     "a\ufffd[8mhidden",
		"a\x1b[31mred":                       "a\x1b[31mred\x1b[0m",
	} {
		if got := harmless(said); got != want {
			t.Errorf("colours of %q: %q, want %q", said, got, want)
		}
	}
}
