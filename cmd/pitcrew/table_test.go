// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Names as they are in large fleets leave a usual terminal no room for the rest. What people type in their next command is whole all the
// same, and so is everything where there is room, or no terminal.
func TestTablesWithLongNamesFitTheTerminal(t *testing.T) {
	t.Parallel()
	const controller, agent, pool = "production", "el9-builder-0007.west.lab.example.org", "ovirt-el8-nested"
	const reason = "3 failures, the last: failed: disk: /home/jenkins/workspace has 1.0 GiB free of 20.0 GiB that are wanted"
	full := fullName(controller, agent)
	c := silentCLI(&bytes.Buffer{})
	c.now = func() time.Time { return noon }
	columns := "80"
	c.getenv = func(name string) string { return map[string]string{"COLUMNS": columns}[name] }

	fleet := []api.Agent{
		{Controller: controller, Name: agent, Pool: pool, Hygiene: "quarantined", Occupancy: "offline", Since: ago(26 * time.Hour), Reason: reason},
		{Controller: controller, Name: "el9-2", Pool: pool, Hygiene: "clean", Occupancy: "idle", Since: ago(time.Hour), Reason: reason},
	}
	clean := []api.Agent{{Controller: "release", Name: agent, Pool: pool, Hygiene: "clean", Occupancy: "idle", Since: ago(time.Hour), Reason: reason}, {Controller: "el9", Name: agent, Hygiene: "clean", Occupancy: "idle"}}
	attempts := []api.Attempt{{ID: 123456, Controller: controller, Agent: agent, Number: 4711, Claimed: ago(time.Hour), Ended: ago(58 * time.Minute), Outcome: "failed", Step: "disk", Reason: reason}}
	builds := []api.Build{{Controller: controller, Agent: agent, Job: "team/app_master", Number: 1234, At: ago(time.Hour), Contaminated: true, Reason: "second build on one cleaning"}}
	slots := []api.Slot{{Controller: controller, Job: "pitcrew-slot-01", Content: "89abcdef0123456789", Agent: agent, Attempt: 13}}
	plan := []api.Plan{{Controller: controller, Agent: agent, Pool: pool, Action: "begin", Labels: "cleanable dirty", Reason: "waits: the controller's cap on cleanups is reached"}}
	width := func() int { return c.width() }
	for name, tc := range map[string]struct {
		table func() string
		typed string // people type it next
		long  string // is there where there is room
	}{
		"agents":                        {func() string { return c.agentTable(fleet, false, width()) }, agent, pool},
		"agents of several controllers": {func() string { return c.agentTable(clean, false, width()) }, "release/" + agent, pool},
		"attempts":                      {func() string { return c.attemptTable(attempts, false, width()) }, "123456", full},
		"builds":                        {func() string { return c.buildTable(builds, false, width()) }, "team/app_master #1234", full},
		"slots":                         {func() string { return c.slotTable(slots) }, "pitcrew-slot-01", agent + ", attempt 13"},
		"plan":                          {func() string { return c.planTable(plan) }, full, "cleanable dirty"},
	} {
		columns = "80"
		narrow := tc.table()
		for line := range strings.Lines(narrow) {
			if n := text.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
		if !strings.Contains(narrow, tc.typed) {
			t.Errorf("%s: %q is not whole in\n%s", name, tc.typed, narrow)
		}
		for _, columns = range []string{"", "220"} {
			if got := tc.table(); !strings.Contains(got, tc.typed) || !strings.Contains(got, tc.long) {
				t.Errorf("%s, with %q columns: there was room for all of\n%s", name, columns, got)
			}
		}
	}
}
