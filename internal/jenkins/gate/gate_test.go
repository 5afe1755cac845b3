// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScriptNamesItsLabels(t *testing.T) {
	t.Parallel()
	script, err := Script("v1.2.3", Labels{"can-be-cleaned", "being.cleaned", "ready"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "println PitcrewRegistration.run('v1.2.3', 'can-be-cleaned', 'being.cleaned', 'ready'"; !strings.Contains(script, want) {
		t.Errorf("no %q", want)
	}
	for _, name := range []string{"@VERSION@", "@CLEANABLE@", "@DIRTY@", "@CLEAN@"} {
		if strings.Contains(script, name) {
			t.Errorf("%s stayed", name)
		}
	}
	for i := range len(script) {
		if script[i] > '~' {
			t.Fatalf("byte %d is no ASCII: what a console or a file makes of it is not known", i)
		}
	}
	if strings.Contains(script, "assert ") {
		t.Error("a failed assert in an init script keeps Jenkins from starting (jenkins-reference 3.9)")
	}
	for _, bad := range []Labels{{"", "b", "c"}, {"a b", "b", "c"}, {"a", "b'", "c"}, {"a", "b", "c\\"}, {"a", "b", "${x}"}, {"a", "\u00fc", "c"}, {"a*/", "b", "c"}} {
		if _, err := Script("v1", bad); err == nil || !strings.Contains(err.Error(), "cannot be used by the gate") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestACleanAgentTakesOneBuild(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable el7", "executors", 2)
		first, second := j.item("job", "first"), j.item("job", "second")
		j.must("claim", "a", "attempt", 1, "job", "slot")
		if got := j.labels("a"); got != "cleanable el7 dirty" {
			j.Errorf("claimed: %q", got)
		}
		cleanup := j.item("job", "slot", "attempt", "1")
		if got := j.take("a", cleanup); got != "" {
			j.Fatalf("the cleanup may not start: %s", got)
		}
		j.on("a", "start", "item", cleanup)
		if got := j.take("a", first); got != causes["unclean"] {
			j.Errorf("beside the cleanup: %q", got)
		}
		if got := j.ask("grant", "a", "attempt", 1); got != "busy" {
			j.Errorf("granted while the cleanup runs: %s", got)
		}
		j.on("a", "end", "item", cleanup)
		j.must("grant", "a", "attempt", 1)
		j.must("grant", "a", "attempt", 1) // whoever lost the first answer asks again
		if got := j.labels("a"); got != "cleanable el7 clean" {
			j.Errorf("granted: %q", got)
		}
		if got := j.take("a", cleanup); got != causes["unclaimed"] {
			j.Errorf("a cleanup on a clean agent: %q", got)
		}
		if got := j.take("a", first); got != "" {
			j.Fatalf("the agent is clean, and: %s", got)
		}
		j.on("a", "assign", "item", first)
		if got := j.take("a", second); got != causes["drifted"] {
			j.Errorf("while the first is assigned, the second: %q", got)
		}
		j.on("a", "giveBack", "item", first)
		if got := j.take("a", second); got != causes["drifted"] {
			j.Errorf("an executor was chosen and given back: %q", got)
		}
		j.must("claim", "a", "attempt", 2, "job", "slot")
		j.must("grant", "a", "attempt", 2)
		j.on("a", "start", "item", first)
		if got := j.labels("a"); got != "cleanable el7" {
			j.Errorf("used: %q", got)
		}
		j.on("a", "again", "item", first) // the second work unit of a matrix or a multijob
		j.on("a", "end", "item", first)
		if got := j.take("a", second); got != causes["unclean"] {
			j.Errorf("after the first: %q", got)
		}
		if got := j.ask("grant", "a", "attempt", 2); got != "stale" {
			j.Errorf("granted what was used: %s", got)
		}
		status := j.read(j.do(command{"do": "status"}))
		events := j.read(j.do(command{"do": "events", "session": status.Session, "since": "0"}))
		var told []string
		for _, e := range events.Events {
			told = append(told, e["event"].(string))
		}
		want := []string{"claimed", "started", "ended", "granted", "claimed", "granted", "consumed", "ended"}
		if diff := cmp.Diff(want, told); diff != "" {
			j.Errorf("events (-want +got):\n%s", diff)
		}
		if c := events.Events[6]; c["attempt"] != 2.0 || c["item"] != first || c["task"] != nil || c["was"] != "clean" {
			j.Errorf("the certificate is %v", c)
		}
		if a := status.Agents["a"]; a.State != "used" || a.Attempt != 2 || a.Item != int(first) {
			j.Errorf("status: %+v", a)
		}
	})
}

func TestTheBuildThatUsedAnAgentIsNamed(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		build := func() string {
			j.Helper()
			return j.read(j.do(command{"do": "status"})).Agents["a"].Build
		}
		for attempt, c := range []struct {
			kind, task, build string
			part              bool
			want              string
		}{
			{"job", "app", "job/app/1/", false, "http://ci.test/job/app/1/"},
			{"plain", "part of pipe #7", "job/pipe/7/", true, "http://ci.test/job/pipe/7/"},
			{"plain", "no build", "", false, ""},
			{"plain", "part of something", "", true, ""},
		} {
			j.must("claim", "a", "attempt", attempt+1, "job", "slot")
			j.must("grant", "a", "attempt", attempt+1)
			if got := build(); got != "" {
				j.Errorf("clean, and used by %q", got)
			}
			item, other := j.item(c.kind, c.task), j.item("job", "another")
			j.on("a", "start", "item", item)
			if got := build(); got != "" {
				j.Errorf("%s: it does not exist yet, and is %q", c.task, got)
			}
			begun := []any{"item", item, "part", c.part}
			if c.build != "" {
				begun = append(begun, "build", c.build)
			}
			j.on("a", "begun", begun...)
			j.on("a", "again", "item", item) // another work unit of it
			j.on("a", "end", "item", item)
			j.on("a", "start", "item", other) // which nobody asked about
			j.on("a", "end", "item", other)
			if got := build(); got != "" {
				j.Errorf("%s: another used the agent after it, and that is %q", c.task, got)
			}
			j.must("revoke", "a")
			j.must("claim", "a", "attempt", 10*attempt+10, "job", "slot")
			j.must("grant", "a", "attempt", 10*attempt+10)
			j.on("a", "start", "item", item)
			j.on("a", "begun", begun...)
			j.on("a", "end", "item", item)
			if got := build(); got != c.want {
				j.Errorf("%s: the agent was used by %q, want %q", c.task, got, c.want)
			}
			for want, job := range map[string]string{"": "", c.want: "Job/Read"} { // whoever may not read jobs is not told of them
				who := []string{"Overall/Read", "Agent/ExtendedRead", job}
				if got := j.read(j.do(command{"do": "status", "as": who})).Agents["a"].Build; got != want {
					j.Errorf("%s: for %q the agent was used by %q, want %q", c.task, who, got, want)
				}
			}
			j.do(command{"do": "boot"})
			j.on("a", "node", "labels", "cleanable")
		}
	})
}

func TestARestartLeavesNothingClean(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.must("claim", "a", "attempt", 4, "job", "slot")
		j.must("grant", "a", "attempt", 4)
		before := j.read(j.do(command{"do": "status"}))
		j.do(command{"do": "boot"})
		j.on("a", "node", "labels", "cleanable clean")
		if got := j.take("a", j.item("job", "restored")); got != causes["unclean"] {
			j.Errorf("after the restart: %q", got)
		}
		after := j.read(j.do(command{"do": "status"}))
		if before.Session == after.Session || after.Seq != 0 || after.Agents["a"].State != "unknown" {
			j.Errorf("before %+v, after %+v", before, after)
		}
		if got := j.read(j.do(command{"do": "events", "session": before.Session, "since": "2"})); !got.Gap || got.Session != after.Session {
			j.Errorf("the events of the old session: %+v", got)
		}
	})
}

func TestANewCopyTakesThePlaceOfTheOld(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.must("claim", "a", "attempt", 1, "job", "slot")
		j.must("grant", "a", "attempt", 1)
		if got, want := j.do(command{"do": "register", "console": true}), "pitcrew gate test: registered by the console, in the place of another copy"; got != want {
			j.Errorf("said %q, want %q", got, want)
		}
		if j.groovy {
			one := map[string]any{"QueueTaskDispatcher": 1.0, "QueueListener": 1.0, "ExecutorListener": 1.0, "ComputerListener": 1.0, "NodeListener": 1.0, "actions": 1.0}
			if diff := cmp.Diff(one, j.do(command{"do": "extensions"})); diff != "" {
				j.Errorf("copies (-want +got):\n%s", diff)
			}
			if left := j.do(command{"do": "counts"}).(map[string]any)["fewest"]; left != 1.0 {
				j.Errorf("when the old copy went, %v were left: for a moment there was no gate, or no address of it", left)
			}
		}
		item := j.item("job", "real")
		if got := j.take("a", item); got != "" {
			j.Errorf("what the old copy granted is lost: %s", got)
		}
		j.on("a", "start", "item", item)
		j.on("a", "end", "item", item)
		if got := j.take("a", item); got != causes["unclean"] {
			j.Errorf("the new copy did not see the start: %q", got)
		}
	})
}

func TestJenkinsStartsThoughTheGateCannotBeRegistered(t *testing.T) {
	j := boot(t)
	for _, how := range []string{"error", "checked"} {
		said, _ := j.do(command{"do": "registerBroken", "how": how}).(string)
		if !strings.HasPrefix(said, "logged: ") || !strings.Contains(said, "the gate of pitcrew test could not be registered") {
			t.Errorf("%s: %q", how, said)
		}
	}
}

// would is what the gate says of a flyweight.
const would = "pitcrew: would start on an agent that is not clean, where nothing could stop it"

// may is what the gate says of an item before any node is known.
func (j *controller) may(item float64) string {
	j.Helper()
	said, _ := j.do(command{"do": "may", "item": item}).(string)
	return said
}

func TestWhatComesBackAfterARestartGoesFirst(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		item := j.item("returning", "part of pipeline #1", "label", "a")
		if got := j.ask("claim", "a", "attempt", 1, "job", "slot"); got != "awaits" {
			j.Errorf("claimed: %s", got)
		}
		// Who may not see that job has to be told all the same.
		request := fmt.Sprintf(`{"protocol":%d,"owner":"daemon","agents":[{"agent":"a","attempt":1,"job":"slot"}]}`, Protocol)
		as := []string{"Overall/Read", "Agent/Configure on a"}
		if got := j.read(j.do(command{"do": "call", "verb": "claim", "request": request, "as": as})).Results; len(got) != 1 || got[0].Result != "awaits" {
			j.Errorf("claimed by somebody who does not see the queue: %+v", got)
		}
		if got := j.take("a", item); got != "" {
			j.Errorf("it may not come back: %s", got)
		}
		j.on("a", "start", "item", item)
		if got := j.ask("claim", "a", "attempt", 1, "job", "slot"); got != "busy" {
			j.Errorf("claimed beside it: %s", got)
		}
		j.on("a", "end", "item", item)
		j.must("claim", "a", "attempt", 1, "job", "slot")
		if got := j.take("a", j.item("begun", "part of pipeline #2", "label", "a")); got != causes["unclean"] {
			j.Errorf("a part that begins: %q", got)
		}
	})
}

func TestWhatComesBackDuringACleanupOrAfterItSpoilsIt(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.must("claim", "a", "attempt", 1, "job", "slot")
		late := j.item("returning", "part of pipeline #1", "label", "a")
		j.on("a", "start", "item", late)
		j.on("a", "end", "item", late)
		if got := j.ask("grant", "a", "attempt", 1); got != "stale" {
			j.Errorf("granted: %s", got)
		}
		if got := j.ask("claim", "a", "attempt", 1, "job", "slot"); got != "stale" {
			j.Errorf("claimed by the attempt that was spoilt: %s", got)
		}
		j.must("claim", "a", "attempt", 2, "job", "slot")
		j.must("grant", "a", "attempt", 2)
		later := j.item("returning", "part of pipeline #2", "label", "a")
		j.on("a", "start", "item", later)
		if got := j.labels("a"); got != "cleanable" {
			j.Errorf("labels: %q", got)
		}
		if s := j.read(j.do(command{"do": "status"})).Agents["a"]; s.State != "used" {
			j.Errorf("status: %+v", s)
		}
	})
}

func TestVerbsAreFenced(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.on("foreign", "node", "labels", "clean el7")
		j.on("off", "node", "labels", "cleanable", "offline", true)
		for _, step := range []struct {
			verb, agent string
			more        []any
			want        string
		}{
			{"claim", "nobody", []any{"attempt", 1, "job", "slot"}, "gone"},
			{"claim", "foreign", []any{"attempt", 1, "job", "slot"}, "unmanaged"},
			{"revoke", "foreign", nil, "unmanaged"},
			{"hold", "foreign", nil, "unmanaged"},
			{"withdraw", "foreign", nil, "unmanaged"},
			{"grant", "a", []any{"attempt", 1}, "stale"},
			{"claim", "off", []any{"attempt", 1, "job", "slot"}, "offline"},
			{"claim", "off", []any{"attempt", 1, "offline", true}, "ok"}, // over SSH
			{"grant", "off", []any{"attempt", 1}, "offline"},
			{"claim", "a", []any{"attempt", 5, "job", "slot"}, "ok"},
			{"claim", "a", []any{"attempt", 5, "job", "slot"}, "ok"},
			{"claim", "a", []any{"attempt", 5, "job", "another"}, "stale"},
			{"claim", "a", []any{"attempt", 4, "job", "slot"}, "stale"},
			{"grant", "a", []any{"attempt", 4}, "stale"},
			{"hold", "a", []any{"attempt", 4}, "stale"},
			{"grant", "a", []any{"attempt", 5}, "ok"},
			{"revoke", "a", []any{"attempt", 4}, "stale"},
			{"revoke", "a", []any{"attempt", 5}, "ok"},
			{"grant", "a", []any{"attempt", 5}, "stale"},
			{"claim", "a", []any{"attempt", 5, "job", "slot"}, "stale"},
			{"claim", "a", []any{"attempt", 6, "job", "slot"}, "ok"},
			{"hold", "a", nil, "ok"},
			{"grant", "a", []any{"attempt", 6}, "stale"},
		} {
			if got := j.ask(step.verb, step.agent, step.more...); got != step.want {
				j.Errorf("%s %s %v: %s, want %s", step.verb, step.agent, step.more, got, step.want)
			}
		}
		if got := j.labels("a"); got != "cleanable dirty" {
			j.Errorf("held: %q", got)
		}
		j.must("withdraw", "a")
		if got := j.labels("a"); got != "cleanable" {
			j.Errorf("withdrawn: %q", got)
		}
	})
}

func TestAnotherConnectionIsNotTheOneThatWasCleaned(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.must("claim", "a", "attempt", 1, "job", "slot")
		j.on("a", "disconnect")
		j.on("a", "connect")
		if got := j.ask("grant", "a", "attempt", 1); got != "connection" {
			j.Errorf("granted: %s", got)
		}
		j.must("claim", "a", "attempt", 1, "job", "slot") // asked again, it changes nothing
		if got := j.ask("grant", "a", "attempt", 1); got != "connection" {
			j.Errorf("granted after the claim was asked again: %s", got)
		}
		j.must("claim", "a", "attempt", 1, "job", "slot", "renew", true) // the verification runs on the new connection
		j.must("grant", "a", "attempt", 1)
		j.on("a", "disconnect")
		if s := j.read(j.do(command{"do": "status"})).Agents["a"]; s.State != "unknown" || s.Why != "offline" {
			j.Errorf("status: %+v", s)
		}
	})
}

func TestStickyUntilWithdrawn(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		real := j.item("job", "real")
		j.must("claim", "a", "attempt", 1, "job", "slot")
		j.on("a", "relabel", "labels", "el7 clean")
		if got := j.take("a", real); got != causes["unclean"] {
			j.Errorf("without its label: %q", got)
		}
		if got := j.ask("grant", "a", "attempt", 1); got != "unmanaged" {
			j.Errorf("granted: %s", got)
		}
		j.on("a", "remove")
		if got := j.read(j.do(command{"do": "status"})).Agents["a"]; got.Drift != "gone" {
			j.Errorf("status of a node that is gone: %+v", got)
		}
		j.on("a", "node", "labels", "el7 clean")
		if got := j.take("a", real); got != causes["unclean"] {
			j.Errorf("made anew without its label: %q", got)
		}
		j.must("withdraw", "a")
		if got := j.take("a", real); got != "" {
			j.Errorf("withdrawn, and: %s", got)
		}
		if got := j.labels("a"); got != "el7" {
			j.Errorf("withdrawn: %q", got)
		}
	})
}

func TestAnotherNameMakesNoAgentSomebodyElses(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.on("foreign", "node", "labels", "el7 clean")
		j.must("claim", "a", "attempt", 1, "job", "slot")
		j.on("a", "rename", "to", "b", "labels", "el7 clean")
		real := j.item("job", "real")
		if got := j.take("b", real); got != causes["unclean"] {
			j.Errorf("under another name, without its label: %q", got)
		}
		if got := j.read(j.do(command{"do": "status"})).Agents["b"]; got.State != "unknown" || got.Why != "renamed" || got.Attempt != 0 {
			j.Errorf("status: %+v", got)
		}
		j.on("foreign", "rename", "to", "other", "labels", "el7 clean")
		if got := j.take("other", real); got != "" {
			j.Errorf("one that never was ours: %q", got)
		}
		j.must("withdraw", "b")
		if got := j.take("b", real); got != "" {
			j.Errorf("withdrawn, and: %q", got)
		}
		j.on("other", "rename", "to", "a", "labels", "el7")
		if got := j.take("a", real); got != causes["unclean"] {
			j.Errorf("a name that the ledger has: %q", got)
		}
	})
}

func TestOneDaemonAtATime(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.must("claim", "a", "attempt", 1, "job", "slot")
		other := func(insteadOf any) string {
			request, err := json.Marshal(map[string]any{"protocol": Protocol, "owner": "other", "insteadOf": insteadOf, "agents": []any{map[string]any{"agent": "a"}}})
			if err != nil {
				j.Fatal(err)
			}
			return j.read(j.do(command{"do": "call", "verb": "revoke", "request": string(request)})).Results[0].Result
		}
		if got := other(nil); got != "owner daemon" {
			j.Errorf("another daemon: %s", got)
		}
		if got := other("somebody"); got != "owner daemon" {
			j.Errorf("in the place of somebody else: %s", got)
		}
		if got := other("daemon"); got != "ok" {
			j.Errorf("in its place: %s", got)
		}
		if got := j.ask("claim", "a", "attempt", 2, "job", "slot"); got != "owner other" {
			j.Errorf("the first one: %s", got)
		}
	})
}

func TestAFullDisk(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.on("a", "breaks", "what", "save", "how", "full")
		if got := j.ask("claim", "a", "attempt", 1, "job", "slot"); !strings.HasPrefix(got, "error ") || !strings.Contains(got, "No space left") {
			j.Errorf("claim: %s", got)
		}
		j.on("a", "breaks", "what", "save", "how", nil)
		j.must("claim", "a", "attempt", 1, "job", "slot")
		if got := j.labels("a"); got != "cleanable dirty" {
			j.Errorf("claimed, and shown as %q", got)
		}
		j.must("claim", "a", "attempt", 2, "job", "slot")
		j.on("a", "breaks", "what", "save", "how", "full")
		if got := j.ask("grant", "a", "attempt", 2); !strings.Contains(got, "No space left") {
			j.Errorf("grant: %s", got)
		}
		real := j.item("job", "real")
		if got := j.take("a", real); got != causes["unclean"] || j.labels("a") != "cleanable dirty" {
			j.Errorf("half granted: %q, %q", got, j.labels("a"))
		}
		j.on("a", "breaks", "what", "save", "how", nil)
		j.must("grant", "a", "attempt", 2)
		j.on("a", "breaks", "what", "save", "how", "full")
		j.on("a", "start", "item", real) // what is in memory counts
		j.on("a", "end", "item", real)
		if got := j.take("a", real); got != causes["unclean"] {
			j.Errorf("used, though that could not be written: %q", got)
		}
	})
}

func TestABrokenAgentHidesNoOther(t *testing.T) {
	both(t, func(j *controller) {
		for _, name := range []string{"broken", "well"} {
			j.on(name, "node", "labels", "cleanable")
			j.must("claim", name, "attempt", 1)
			j.must("grant", name, "attempt", 1)
		}
		j.on("broken", "breaks", "what", "channel", "how", "error")
		j.on("foreign", "node", "labels", "linux")
		j.on("foreign", "breaks", "what", "labels", "how", "error")
		got := j.read(j.do(command{"do": "status"}))
		if got.Code != 200 || len(got.Agents) != 2 {
			j.Fatalf("status %+v", got)
		}
		if a := got.Agents["broken"]; a.State != "clean" || a.Drift != "fault" {
			j.Errorf("the broken one: %+v", a)
		}
		if a := got.Agents["well"]; a.State != "clean" || a.Drift != "" {
			j.Errorf("the other: %+v", a)
		}
		if got := j.read(j.do(command{"do": "status"})); got.Failed != 2 {
			j.Errorf("failed %d times before", got.Failed)
		}
	})
}

func TestAFaultIsSaidWithItsPlaceAndLoggedOnce(t *testing.T) {
	j := boot(t)
	j.do(command{"do": "logged"}) // that of tests before
	j.on("a", "node", "labels", "cleanable")
	j.must("claim", "a", "attempt", 1)
	j.must("grant", "a", "attempt", 1)
	j.on("a", "breaks", "what", "channel", "how", true)
	build := j.item("job", "app")
	for range 3 {
		if got := j.take("a", build); got == "" {
			t.Fatal("a fault let a build through")
		}
	}
	where := regexp.MustCompile(`^java\.lang\.IllegalStateException in PitcrewLedger\.drift, line [1-9][0-9]*$`)
	if got := j.read(j.do(command{"do": "status"})); got.Failed != 3 || !where.MatchString(got.Fault) {
		t.Errorf("failed %d times: %q", got.Failed, got.Fault)
	}
	want := []any{"WARNING the gate of pitcrew failed, and goes on counting: java.lang.IllegalStateException: channel"}
	if diff := cmp.Diff(want, j.do(command{"do": "logged"})); diff != "" {
		t.Errorf("in the log of Jenkins (-want +got):\n%s", diff)
	}
}

func TestABuildThatIsStoppedAsItBeginsHasTakenTheAgent(t *testing.T) {
	j := boot(t)
	j.on("a", "node", "labels", "cleanable")
	j.must("claim", "a", "attempt", 1)
	j.must("grant", "a", "attempt", 1)
	saves := func() float64 { return j.on("a", "view").(map[string]any)["saves"].(float64) }
	before := saves()
	if said := j.on("a", "start", "item", j.item("job", "app"), "interrupted", true); said != nil {
		t.Error(said)
	}
	if got := j.labels("a"); got != "cleanable" || saves() != before+1 {
		t.Errorf("labels %q, saved %v times", got, saves()-before)
	}
	if got := j.read(j.do(command{"do": "status"})); got.Failed != 0 || got.Agents["a"].State != "used" {
		t.Errorf("failed %d times (%s), %+v", got.Failed, got.Fault, got.Agents["a"])
	}
}

func TestLabelsOfOthersStayAsTheyAre(t *testing.T) {
	both(t, func(j *controller) {
		for before, want := range map[string][3]string{
			"cleanable":                       {"cleanable dirty", "cleanable clean", "cleanable"},
			"clean cleanable":                 {"cleanable dirty", "cleanable clean", "cleanable"},
			"  x   cleanable\ty":              {"x   cleanable\ty dirty", "x   cleanable\ty clean", "x   cleanable\ty"},
			"unclean cleanable cleaner":       {"unclean cleanable cleaner dirty", "unclean cleanable cleaner clean", "unclean cleanable cleaner"},
			`"a clean b" cleanable "clean" z`: {`"a clean b" cleanable z dirty`, `"a clean b" cleanable z clean`, `"a clean b" cleanable z`},
			`"a\" clean b" cleanable clean`:   {`"a\" clean b" cleanable dirty`, `"a\" clean b" cleanable clean`, `"a\" clean b" cleanable`},
			`a\ clean cleanable clean`:        {`a\ clean cleanable dirty`, `a\ clean cleanable clean`, `a\ clean cleanable`},
			"cleanable a\vclean":              {"cleanable a\vclean dirty", "cleanable a\vclean clean", "cleanable a\vclean"},
			`'cleanable' clean`:               {`'cleanable' dirty`, `'cleanable' clean`, `'cleanable'`},
		} {
			j.do(command{"do": "boot"})
			j.on("a", "node", "labels", before)
			j.must("claim", "a", "attempt", 1, "job", "slot")
			got := [3]string{0: j.labels("a")}
			j.must("grant", "a", "attempt", 1)
			got[1] = j.labels("a")
			item := j.item("job", "real")
			if said := j.take("a", item); said != "" {
				j.Errorf("%q: %s", before, said)
			}
			j.on("a", "start", "item", item)
			got[2] = j.labels("a")
			if got != want {
				j.Errorf("%q: %q, want %q", before, got, want)
			}
		}
	})
}
