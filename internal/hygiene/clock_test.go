// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestTimesOfAClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	year := 365 * 24 * time.Hour
	a := agentIn(hygiene.Due)
	if hygiene.Ahead(a, now) {
		t.Fatal("an agent of the past is called one of the future")
	}
	a.Since, a.NextLook = now.Add(year), now.Add(year+10*time.Minute)
	a.Quarantine = &hygiene.Quarantine{Since: now.Add(year), NextLook: a.NextLook}
	a.Hold = &hygiene.Hold{Expires: now.Add(2 * year)}
	attempt := hygiene.Attempt{Claimed: epoch, Ended: now.Add(year)}
	if !hygiene.Ahead(a, now) {
		t.Fatal("a year ahead is not noticed")
	}
	got := hygiene.SetBack(a, &attempt, now)
	if hygiene.Ahead(got, now) {
		t.Errorf("still ahead: %+v", got)
	}
	if want := now.Add(10 * time.Minute); !got.NextLook.Equal(want) || !got.Quarantine.NextLook.Equal(want) {
		t.Errorf("the next look is at %s and %s, want %s", got.NextLook, got.Quarantine.NextLook, want)
	}
	if !got.LabelsAt.Equal(epoch) || !attempt.Claimed.Equal(epoch) || !attempt.Ended.Equal(now) {
		t.Errorf("labels at %s, claimed at %s, ended at %s", got.LabelsAt, attempt.Claimed, attempt.Ended)
	}
	if !got.Hold.Expires.Equal(now.Add(2 * year)) {
		t.Errorf("the hold of a person expires at %s", got.Hold.Expires)
	}
	if !a.Quarantine.NextLook.Equal(now.Add(year + 10*time.Minute)) {
		t.Error("the caller's agent was changed")
	}
}
