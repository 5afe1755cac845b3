// SPDX-License-Identifier: Apache-2.0

package main

import (
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
