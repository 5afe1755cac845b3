// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func (b *bench) why(id string) string {
	b.t.Helper()
	s, _ := b.json("/queue/item/"+id+"/api/json", "why").(string)
	return s
}

func TestWhyNamesTheReasonInTheWordsOfJenkins(t *testing.T) {
	cases := []struct {
		name   string
		agents []AgentSpec
		label  string
		want   string
	}{
		{"no node has the label", nil, "clean", "There are no nodes with the label ‘clean’"},
		{"all nodes are offline", []AgentSpec{{Name: "a1", Labels: "clean", Offline: true}, {Name: "a2", Labels: "clean", Offline: true}}, "clean", "All nodes of label ‘clean’ are offline"},
		{"the only node is offline", []AgentSpec{{Name: "a1", Labels: "clean", Offline: true}}, "clean", "‘a1’ is offline"},
		{"expression", nil, "clean&&el7", "There are no nodes with the label ‘clean&&el7’"},
		{"reserved", []AgentSpec{{Name: "a1"}, {Name: "a2"}}, "", "‘a1’ is reserved for jobs with matching label expression; ‘a2’ is reserved for jobs with matching label expression"},
		{"nothing at all", nil, "", "Waiting for next available executor"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Options{}, func(b *bench) {
				for _, a := range c.agents {
					b.agent(a)
				}
				b.job(JobSpec{Name: "x", Label: c.label})
				id := b.start("x")
				settle()
				b.want(b.why(id), c.want, "why")
			})
		})
	}
}

func TestWhyNamesABusyNodeAndIsLocalised(t *testing.T) {
	hold := func(ctx context.Context, _ Step) StepResult { <-ctx.Done(); return StepResult{} }
	inBubble(t, Options{Execute: hold}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean", Concurrent: true})
		b.job(JobSpec{Name: "serial", Label: "clean"})
		b.start("x")
		settle()
		id := b.start("x")
		settle()
		b.want(b.why(id), "Waiting for next available executor on ‘a1’", "one node: its name, not the label")
		b.agent(AgentSpec{Name: "a2", Labels: "clean", Offline: true})
		b.want(b.why(id), "Waiting for next available executor on ‘clean’", "two nodes: the label")
		for _, language := range []string{"", "de", "fr-FR, en;q=0.5"} {
			b.language = language
			if got := b.why(id); strings.HasPrefix(got, "Waiting") {
				t.Errorf("Accept-Language %q: %s", language, got)
			}
		}
		b.language = "en-US,de"
		b.want(b.why(id), "Waiting for next available executor on ‘clean’", "en-US")
	})
}

func TestNodeThatRefusesTasksIsNamed(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.agent(AgentSpec{Name: "a2", Labels: "other"})
		a.RefuseTasks(true)
		b.job(JobSpec{Name: "x", Label: "clean"})
		id := b.start("x")
		settle()
		b.want(b.why(id), "‘a1’ is not accepting tasks; ‘a2’ doesn’t have label ‘clean’", "why")
		b.want(b.json("/computer/a1/api/json", "iconClassName"), "symbol-computer-not-accepting", "icon")
		a.RefuseTasks(false)
		settle()
		b.want(len(b.j.Builds("x")), 1, "builds")
	})
}

func TestQuietPeriodEndsOnTheFiveSecondGrid(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean", Quiet: 7 * second})
		pass(second)
		a := b.post(201, "/job/x/build", nil)
		it := b.json("/queue/item/" + itemID(a) + "/api/json")
		b.want(dig(it, "_class"), "hudson.model.Queue$WaitingItem", "class")
		b.want(dig(it, "why"), "In the quiet period. Expires in 7 sec", "why")
		b.want(dig(it, "timestamp").(float64)-dig(it, "inQueueSince").(float64), 7000, "end of the quiet period")
		b.want(dig(it, "buildableStartMilliseconds"), nil, "waiting items are not buildable yet")
		pass(8 * second)
		b.want(b.why(itemID(a)), "Finished waiting", "after its end")
		pass(2 * second)
		b.want(len(b.j.Builds("x")), 1, "builds at the next point of the grid")
	})
}

func TestDelayParameter(t *testing.T) {
	for delay, seconds := range map[string]int{"0sec": 0, "10sec": 10, "10secs": 10, "2500": 2, "junk": 5} {
		t.Run(delay, func(t *testing.T) {
			inBubble(t, Options{}, func(b *bench) {
				if err := b.j.CreateJobXML("x", "<project><canRoam>true</canRoam></project>"); err != nil {
					t.Fatal(err)
				}
				id := itemID(b.post(201, "/job/x/build?delay="+delay, nil))
				b.j.mu.Lock()
				defer b.j.mu.Unlock()
				it := b.j.queue.byID[1]
				b.want(id, "1", "id")
				b.want(it.due.Sub(it.since).Seconds(), seconds, "seconds")
			})
		})
	}
}

func TestRequestsMergeUnlessAParameterDiffers(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.job(JobSpec{Name: "plain", Label: "none"})
		b.job(JobSpec{Name: "p", Label: "none", Params: []ParamSpec{{Name: "A", Default: "1"}}})
		b.want(b.start("plain"), b.start("plain"), "merged: 201 with the same item")
		first := b.post(http.StatusCreated, "/job/p/buildWithParameters?A=1&delay=0sec", nil)
		merged := b.post(http.StatusSeeOther, "/job/p/buildWithParameters?delay=0sec", nil)
		b.want(itemID(merged), itemID(first), "equal parameters merge with 303")
		other := b.post(http.StatusCreated, "/job/p/buildWithParameters?A=2&delay=0sec", nil)
		b.want(itemID(other) != itemID(first), true, "a different value is a separate item")
		settle()
		b.want(b.json("/queue/item/"+itemID(other)+"/api/json", "params"), "\nA=2", "params")
	})
}

func TestMergeBefore2308IsA201(t *testing.T) {
	inBubble(t, Options{Version: "2.303.3"}, func(b *bench) {
		b.job(JobSpec{Name: "p", Label: "none", Params: []ParamSpec{{Name: "A"}}})
		for range 2 {
			b.post(http.StatusCreated, "/job/p/buildWithParameters", nil)
		}
	})
}

func TestItemThatLeftCanBeAskedForFiveMinutes(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		id := b.start("x")
		settle()
		it := b.json("/queue/item/" + id + "/api/json")
		b.want(dig(it, "_class"), "hudson.model.Queue$LeftItem", "class")
		b.want(dig(it, "cancelled"), false, "cancelled")
		b.want(dig(it, "executable", "number"), 1, "executable")
		b.want(dig(it, "why"), nil, "why")
		b.want(b.json("/job/x/1/api/json", "queueId"), id, "queueId")
		pass(5*minute - second)
		b.get(http.StatusOK, "/queue/item/"+id+"/api/json")
		pass(second)
		b.get(http.StatusNotFound, "/queue/item/"+id+"/api/json")
	})
}

func TestLeftItemMayHaveNoExecutableForAMomentOrForEver(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Create: second}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.job(JobSpec{Name: "y", Label: "clean"})
		id := b.start("x")
		settle()
		it := b.json("/queue/item/" + id + "/api/json")
		b.want(dig(it, "cancelled"), false, "cancelled")
		b.want(dig(it, "executable"), nil, "executable before the build exists")
		pass(2 * second)
		b.want(b.json("/queue/item/"+id+"/api/json", "executable", "number"), 1, "executable")

		id = b.start("y")
		settle()
		b.post(302, "/job/y/disable", nil)
		pass(minute)
		b.want(b.json("/queue/item/"+id+"/api/json", "executable"), nil, "executable of a job disabled meanwhile")
		b.want(b.json("/computer/a1/api/json", "idle"), true, "the executor is free again")
	})
}

func TestCancel(t *testing.T) {
	users := []User{
		admin,
		{Name: "ron", Tokens: []string{"t"}, Permissions: []Permission{Read, JobRead}},
		{Name: "nil", Tokens: []string{"t"}, Permissions: []Permission{Read}},
	}
	inBubble(t, Options{Security: Security{Users: users}, Timing: Timing{Assign: second}}, func(b *bench) {
		b.job(JobSpec{Name: "x", Label: "clean"})
		id := b.start("x")
		cancel := "/queue/cancelItem?id=" + id
		b.as("ron", "t").post(http.StatusUnprocessableEntity, cancel, nil)
		b.as("nil", "t").post(http.StatusNotFound, cancel, nil)
		b.post(http.StatusNotFound, "/queue/cancelItem?id=999", nil)
		b.post(http.StatusNoContent, cancel, nil)
		it := b.json("/queue/item/" + id + "/api/json")
		b.want(dig(it, "cancelled"), true, "cancelled")
		b.want(dig(it, "executable"), nil, "executable")
		b.post(http.StatusInternalServerError, cancel, nil)

		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		id = b.start("x")
		settle()
		it = b.json("/queue/item/" + id + "/api/json")
		b.want(dig(it, "pending"), true, "pending")
		b.want(dig(it, "buildable"), true, "pending items are buildable too")
		b.post(http.StatusInternalServerError, "/queue/cancelItem?id="+id, nil)
	})
}

func TestItemsOfUnreadableJobsAreLeftOutSilently(t *testing.T) {
	users := []User{admin, {Name: "ron", Tokens: []string{"t"}, Permissions: []Permission{Read}, Jobs: map[string][]Permission{"seen": {JobRead}, "known": {JobDiscover}}}}
	inBubble(t, Options{Security: Security{Users: users}}, func(b *bench) {
		ids := map[string]string{}
		for _, n := range []string{"seen", "known", "hidden"} {
			b.job(JobSpec{Name: n, Label: "none"})
			ids[n] = b.start(n)
		}
		ron := b.as("ron", "t")
		q := ron.json("/queue/api/json?depth=1")
		b.want(len(dig(q, "items").([]any)), 1, "items")
		b.want(dig(q, "discoverableItems", 0, "task", "name"), "known", "discoverable")
		ron.get(http.StatusNotFound, "/queue/item/"+ids["hidden"]+"/api/json")
		ron.get(http.StatusForbidden, "/queue/item/"+ids["known"]+"/api/json")
		ron.get(http.StatusForbidden, "/job/known/api/json")
		ron.get(http.StatusNotFound, "/job/hidden/api/json")
	})
}

func TestQueueListsWhatRunsNextNearTheEnd(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		for _, n := range []string{"one", "two", "three"} {
			b.job(JobSpec{Name: n, Label: "none"})
			b.start(n)
			settle()
		}
		b.job(JobSpec{Name: "wait", Label: "none", Quiet: minute})
		b.post(201, "/job/wait/build", nil)
		var names []string
		for _, it := range b.json("/queue/api/json"+query("items[id,task[name,labelExpression]]"), "items").([]any) {
			names = append(names, dig(it, "task", "name").(string))
		}
		b.want(names, []string{"wait", "three", "two", "one"}, "order")
		first := b.json("/queue/api/json" + query("items[task[labelExpression]]{3}"))
		b.want(dig(first, "items", 0, "task", "labelExpression"), "none", "label of the task")
	})
}

func TestAssignedLabelOfAnItemIsNotExported(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.job(JobSpec{Name: "x", Label: "none"})
		b.start("x")
		it := b.json("/queue/api/json", "items", 0)
		b.want(dig(it, "assignedLabel"), nil, "assignedLabel")
		b.want(dig(it, "task", "labelExpression"), nil, "labelExpression at depth 0")
		b.want(dig(it, "task", "name"), "x", "name at depth 0")
	})
}

func TestNonConcurrentJobBlocksItsSecondItem(t *testing.T) {
	hold := func(ctx context.Context, _ Step) StepResult { pause(ctx, minute); return StepResult{} }
	inBubble(t, Options{Execute: hold}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.agent(AgentSpec{Name: "a2", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		id := b.start("x")
		settle()
		it := b.json("/queue/item/" + id + "/api/json")
		b.want(dig(it, "_class"), "hudson.model.Queue$BlockedItem", "class")
		b.want(dig(it, "why"), "Build #1 is already in progress (ETA: N/A)", "why")
		pass(minute)
		b.want(len(b.j.Builds("x")), 2, "builds")
	})
}

func TestQuietDownAcceptsItemsButStartsNothing(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.post(302, "/quietDown", url.Values{"reason": {"maintenance"}})
		id := b.start("x")
		pass(minute)
		b.want(b.why(id), "Jenkins is about to shut down", "why")
		root := b.json("/api/json" + query("quietingDown,quietDownReason"))
		b.want(dig(root, "quietingDown"), true, "flag")
		b.want(dig(root, "quietDownReason"), "maintenance", "reason")
		b.expect(http.StatusMethodNotAllowed, b.do("GET", "/quietDown", ""), "GET")
		b.post(302, "/cancelQuietDown", nil)
		settle()
		b.want(len(b.j.Builds("x")), 1, "builds")
	})
}

func TestQueueItemPageIsAHintSince2469(t *testing.T) {
	for version, status := range map[string]int{"2.541.3": 200, "2.462.3": 404} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, Options{Version: version}, func(b *bench) {
				b.job(JobSpec{Name: "x", Label: "none"})
				b.get(status, "/queue/item/"+b.start("x")+"/")
			})
		})
	}
}
