// SPDX-License-Identifier: Apache-2.0

package gate

import (
	_ "embed"
	"strings"
	"testing"
)

//go:embed decisions.txt
var decisions string

// causes are the texts of the verdicts.
var causes = map[string]string{
	"take":      "",
	"unclean":   "pitcrew: the agent is not clean",
	"drifted":   "pitcrew: the agent changed since it was cleaned",
	"unclaimed": "pitcrew: the agent is not claimed for this cleanup",
	"broken":    "pitcrew: the gate failed, so the agent counts as not clean",
}

// rules are the lines of the table, each with its six words.
func rules(tb testing.TB) [][]string {
	tb.Helper()
	var all [][]string
	for line := range strings.Lines(decisions) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			if len(words) != 6 || causes[words[5]] == "" && words[5] != "take" {
				tb.Fatalf("decisions.txt: %q", line)
			}
			all = append(all, words)
		}
	}
	return all
}

// TestDecisions brings about every case there is and compares what the gate says with the table.
func TestDecisions(t *testing.T) {
	both(t, func(j *controller) {
		table := rules(j)
		used := make([]bool, len(table))
		cases := 0
		for _, agent := range []string{"built-in", "foreign", "labelled", "claimed", "sticky"} {
			states := []string{"unknown", "claimed", "clean", "used", "held"}
			if agent == "built-in" || agent == "foreign" || agent == "labelled" {
				states = []string{"none"}
			}
			for _, state := range states {
				drifts := []string{"none"}
				if state == "clean" {
					drifts = []string{"none", "computer", "class", "connection", "executors", "busy", "label"}
				}
				for _, drift := range drifts {
					items := []string{"real", "stale", "returning"}
					if state == "claimed" {
						items = append(items, "cleanup")
					}
					for _, item := range items {
						for _, breaks := range []string{"nothing", "labels", "channel"} {
							if breaks != "nothing" && (agent == "built-in" || drift != "none") {
								continue // the one cannot break; of the others it depends on what is looked at first
							}
							facts := []string{agent, state, drift, item, breaks}
							want := ""
							for i, rule := range table {
								if fits(rule, facts) {
									want, used[i] = rule[5], true
									break
								}
							}
							cases++
							if got := stage(j, agent, state, drift, item, breaks); want == "" || got != causes[want] {
								j.Errorf("%v: %q, want %q", facts, got, causes[want])
							}
						}
					}
				}
			}
		}
		for i, rule := range table {
			if !used[i] {
				j.Errorf("no case comes to %v", rule)
			}
		}
		j.Logf("%d cases", cases)
	})
}

func fits(rule, facts []string) bool {
	for i, fact := range facts {
		if rule[i] != "-" && rule[i] != fact {
			return false
		}
	}
	return true
}

// stage brings about one case and asks.
func stage(j *controller, agent, state, drift, kind, breaks string) string {
	j.Helper()
	j.do(command{"do": "boot"})
	name := "a"
	if agent == "built-in" {
		name = ""
	} else {
		labels := map[bool]string{true: "el7 clean", false: "cleanable el7"}[agent == "foreign"]
		j.on(name, "node", "labels", labels)
	}
	// Another agent makes the job one of ours, whatever happened on this one.
	j.on("other", "node", "labels", "cleanable")
	j.must("claim", "other", "attempt", 3, "job", "slot")
	if agent == "claimed" || agent == "sticky" {
		j.must("claim", name, "attempt", 7, "job", "slot")
		switch state {
		case "unknown":
			j.must("revoke", name)
		case "held":
			j.must("hold", name)
		case "clean", "used":
			j.must("grant", name, "attempt", 7)
		}
		if state == "used" {
			real := j.item("job", "first")
			j.on(name, "start", "item", real)
			j.on(name, "end", "item", real)
		}
	}
	if agent == "sticky" {
		j.on(name, "relabel", "labels", strings.TrimSpace(strings.ReplaceAll(j.labels(name), "cleanable", "")))
	}
	switch drift {
	case "computer":
		j.on(name, "node", "labels", j.labels(name), "fresh", true, "quiet", true)
	case "class":
		j.on(name, "node", "labels", j.labels(name), "other", true, "quiet", true)
	case "connection":
		j.on(name, "disconnect", "quiet", true)
		j.on(name, "connect", "quiet", true)
	case "executors":
		j.on(name, "node", "labels", j.labels(name), "executors", 2)
	case "busy":
		j.on(name, "assign", "item", j.item("job", "chosen"))
	case "label":
		j.on(name, "relabel", "labels", strings.TrimSpace(strings.ReplaceAll(j.labels(name), " clean", "")))
	}
	var item float64
	switch kind {
	case "real":
		item = j.item("job", "real")
	case "cleanup":
		item = j.item("job", "slot", "attempt", "7")
	case "stale":
		item = j.item("job", "slot", "attempt", "6")
	case "returning":
		item = j.item("returning", "part of pipeline #1", "label", name)
	}
	if breaks != "nothing" {
		j.on(name, "breaks", "what", breaks, "how", "error")
	}
	return j.take(name, item)
}
