// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// story writes journals: each call is one entry, a second after the one before.
type story struct {
	at      time.Time
	entries []jenkinstest.Entry
}

func (s *story) add(e jenkinstest.Entry) *story {
	s.at = s.at.Add(time.Second)
	e.At = s.at
	if e.Agent == "" {
		e.Agent = "a"
	}
	s.entries = append(s.entries, e)
	return s
}

func (s *story) labels(before, after string) *story {
	return s.add(jenkinstest.Entry{Kind: jenkinstest.EntryLabels, Before: before, Labels: after})
}

func (s *story) granted() *story { return s.labels("cleanable dirty el7", "cleanable clean el7") }
func (s *story) taken() *story   { return s.labels("cleanable clean el7", "cleanable el7") }
func (s *story) claimed() *story { return s.labels("cleanable el7", "cleanable dirty el7") }

func (s *story) starts(job string) *story {
	return s.add(jenkinstest.Entry{Kind: jenkinstest.EntryBuildStart, Job: job})
}

func (s *story) ends(job, result string) *story {
	return s.add(jenkinstest.Entry{Kind: jenkinstest.EntryBuildEnd, Job: job, Result: result})
}

func (s *story) wait(d time.Duration) *story {
	s.at = s.at.Add(d)
	return s
}

func (s *story) cleanup(d time.Duration) *story {
	return s.starts("pitcrew-slot-1").wait(d).ends("pitcrew-slot-1", "SUCCESS")
}

func TestTheLedgerCounts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		story *story
		want  counts
	}{
		"nothing": {new(story), counts{}},
		"a build on a granted agent": {
			new(story).granted().starts("api").taken().ends("api", "SUCCESS"),
			counts{builds: 1},
		},
		"a build that failed": {
			new(story).granted().starts("api").ends("api", "FAILURE"),
			counts{builds: 1, failed: 1},
		},
		"a build that was aborted": {
			new(story).granted().starts("api").ends("api", "ABORTED"),
			counts{builds: 1, failed: 1},
		},
		"a build that has not ended": {new(story).granted().starts("api"), counts{}},
		"a build on an agent that was never granted": {
			new(story).starts("api").ends("api", "SUCCESS"),
			counts{builds: 1, contaminated: 1},
		},
		"a second build on one grant": {
			new(story).granted().starts("api").ends("api", "SUCCESS").starts("docs").ends("docs", "SUCCESS"),
			counts{builds: 2, contaminated: 1},
		},
		"a build after clean was taken away": {
			new(story).granted().taken().starts("api"),
			counts{contaminated: 1},
		},
		"another label on a clean agent changes nothing": {
			new(story).labels("cleanable dirty", "cleanable clean dirty").starts("api"),
			counts{contaminated: 1},
		},
		"a build on another agent than the granted one": {
			new(story).granted().add(jenkinstest.Entry{Kind: jenkinstest.EntryBuildStart, Agent: "b", Job: "api"}),
			counts{contaminated: 1},
		},
		"cleanups are no real builds": {new(story).cleanup(time.Minute).granted(), counts{}},
		"the overhead is the turn without the cleanup's build": {
			// A second each to the claim, the cleanup's start, and from its end to the grant.
			new(story).granted().starts("api").taken().ends("api", "SUCCESS").claimed().cleanup(time.Minute).granted(),
			counts{builds: 1, overheads: []int64{3000}},
		},
		"an agent that needed two attempts waited for another reason": {
			new(story).granted().starts("api").ends("api", "SUCCESS").cleanup(time.Second).cleanup(time.Second).granted(),
			counts{builds: 1},
		},
		"a first cleanup follows no build": {new(story).claimed().cleanup(time.Second).granted(), counts{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			for _, e := range tt.story.entries {
				l.note(e)
			}
			if diff := cmp.Diff(tt.want, l.read(), cmp.AllowUnexported(counts{})); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}
