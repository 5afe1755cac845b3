// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The answers are shaped as by hudson.model.ComputerSet for the tree asked for.
const idleComputer = `{"_class":"hudson.slaves.SlaveComputer","assignedLabels":[{"name":"linux-7"},{"name":"cleanable"},{"name":"clean"}],` +
	`"displayName":"linux-7","executors":[{"currentExecutable":null,"idle":true}],"launchSupported":false,"offline":false,` +
	`"offlineCause":null,"oneOffExecutors":[],"temporarilyOffline":false}`

const fleetAnswer = `{"_class":"hudson.model.ComputerSet","computer":[
 {"_class":"hudson.model.Hudson$MasterComputer","assignedLabels":[{"name":"built-in"}],"displayName":"Built-In Node","executors":[],
  "idle":false,"launchSupported":true,"offline":false,"offlineCause":null,
  "oneOffExecutors":[{"currentExecutable":{"_class":"org.jenkinsci.plugins.workflow.job.WorkflowRun","displayName":"#3","number":3,"url":"http://ci/job/team/job/pipe/3/"}}],
  "temporarilyOffline":false},
 ` + idleComputer + `,
 {"_class":"hudson.slaves.SlaveComputer","assignedLabels":[{"name":"b usy"}],"displayName":"b usy",
  "executors":[{"currentExecutable":{"_class":"hudson.model.FreeStyleBuild","displayName":"#12","number":12,"url":"http://ci/job/x/12/"},"idle":false}],
  "idle":false,"launchSupported":true,"offline":true,"offlineCause":{"_class":"hudson.node_monitors.DiskSpaceMonitorDescriptor$DiskSpace","timestamp":1},
  "oneOffExecutors":[],"temporarilyOffline":true},
 {"_class":"hudson.slaves.SlaveComputer","assignedLabels":[{"name":"hidden"}],"displayName":"hidden",
  "executors":[{"currentExecutable":null,"idle":true},{"currentExecutable":null,"idle":false}],
  "launchSupported":false,"offline":false,"offlineCause":null,"oneOffExecutors":[],"temporarilyOffline":false},
 {"_class":"hudson.slaves.SlaveComputer","assignedLabels":[],"displayName":"changing",
  "executors":[{"currentExecutable":{"_class":"org.jenkinsci.plugins.workflow.support.steps.ExecutorStepExecution$PlaceholderTask$PlaceholderExecutable",
   "displayName":"part of team » pipe #3","number":3,"url":"job/team/job/pipe/3/"},"idle":false}],
  "idle":true,"launchSupported":false,"offline":true,"offlineCause":{"_class":"hudson.slaves.OfflineCause$ChannelTermination","timestamp":1},
  "oneOffExecutors":[],"temporarilyOffline":false},
 {"_class":"hudson.slaves.SlaveComputer","assignedLabels":[],"displayName":"untold","launchSupported":false,"offline":false,
  "offlineCause":null,"oneOffExecutors":[],"temporarilyOffline":false}
]}`

// reasonsAnswer is of the same fleet.
const reasonsAnswer = `{"_class":"hudson.model.ComputerSet","computer":[
 {"_class":"hudson.model.Hudson$MasterComputer","displayName":"Built-In Node","offlineCauseReason":""},
 {"_class":"hudson.slaves.SlaveComputer","displayName":"linux-7","offlineCauseReason":""},
 {"_class":"hudson.slaves.SlaveComputer","displayName":"b usy","offlineCauseReason":"Disk space is too low. Only 0.5 &amp;lt; 1 GiB left"},
 {"_class":"hudson.slaves.SlaveComputer","displayName":"changing","offlineCauseReason":""}
]}`

func TestFleetTellsWhatEachAgentIsDoing(t *testing.T) {
	t.Parallel()
	var query string
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tree") == "computer[displayName,offlineCauseReason]" {
			answering(200, reasonsAnswer)(w, r)
			return
		}
		query = r.URL.RawQuery
		answering(200, fleetAnswer, "X-Jenkins", "2.541.3", "X-Jenkins-Session", "1a2b3c4d", "Date", "Tue, 15 Nov 1994 08:12:31 GMT")(w, r)
	})
	before := time.Now()
	got, err := c.Fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := got.Clock
	if got.Clock = (Clock{}); k.Sent.Before(before) || k.Received.Before(k.Sent) || !k.Date.Equal(time.Date(1994, 11, 15, 8, 12, 31, 0, time.UTC)) {
		t.Errorf("the clock: %+v", k)
	}
	want := Fleet{Session: "1a2b3c4d", Version: "2.541.3", Agents: []Agent{
		{
			Name: "Built-In Node", BuiltIn: true, Labels: []string{"built-in"}, LaunchSupported: true,
			Running: []Executable{{
				Class: "org.jenkinsci.plugins.workflow.job.WorkflowRun", Job: "team/pipe",
				URL: "http://ci/job/team/job/pipe/3/", Number: 3, Flyweight: true,
			}},
		},
		{Name: "linux-7", Labels: []string{"linux-7", "cleanable", "clean"}, Idle: true, Executors: 1, Inbound: true},
		{
			Name: "b usy", Labels: []string{"b usy"}, Offline: true, TemporarilyOffline: true, Executors: 1, LaunchSupported: true,
			OfflineReason: "Disk space is too low. Only 0.5 < 1 GiB left", OfflineClass: "hudson.node_monitors.DiskSpaceMonitorDescriptor$DiskSpace",
			Running: []Executable{{Class: "hudson.model.FreeStyleBuild", Job: "x", URL: "http://ci/job/x/12/", Number: 12}},
		},
		{Name: "hidden", Labels: []string{"hidden"}, Executors: 2, Inbound: true, Hidden: true},
		{
			Name: "changing", Offline: true, OfflineClass: "hudson.slaves.OfflineCause$ChannelTermination", Executors: 1, Inbound: true,
			Running: []Executable{{
				Class: "org.jenkinsci.plugins.workflow.support.steps.ExecutorStepExecution$PlaceholderTask$PlaceholderExecutable",
				Job:   "team/pipe", URL: "job/team/job/pipe/3/", Number: 3,
			}},
		},
		{Name: "untold", Inbound: true}, // and not idle
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(query, "depth") || !strings.HasPrefix(query, "tree=computer%5BdisplayName,") {
		t.Errorf("query %s", query)
	}
}

func TestRootDirectoriesAreThoseThatAgentsTell(t *testing.T) {
	t.Parallel()
	var query string
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.Query().Get("tree")
		answering(200, `{"_class":"hudson.model.ComputerSet","computer":[{"_class":"hudson.model.Hudson$MasterComputer","displayName":"Built-In Node"},`+
			`{"_class":"hudson.slaves.SlaveComputer","displayName":"a 1","absoluteRemotePath":"/srv/ci"},`+
			`{"_class":"hudson.slaves.SlaveComputer","displayName":"off","absoluteRemotePath":null}]}`)(w, r)
	})
	got, err := c.RootDirs(t.Context())
	if diff := cmp.Diff(map[string]string{"a 1": "/srv/ci"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if query != "computer[displayName,absoluteRemotePath]" {
		t.Errorf("asked for %s", query)
	}
	bad := clientOf(t, answering(200, `{"computer":[{"displayName":1}]}`))
	if got, err := bad.RootDirs(t.Context()); err == nil || got != nil {
		t.Errorf("%v, %v; want an error", got, err)
	}
}

func TestAnAnswerThatIsNotAFleetIsNotAnEmptyFleet(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"another object":     `{"_class":"hudson.model.Hudson"}`,
		"no list":            `{"computer":null}`,
		"list of the wrong":  `{"computer":["a","b"]}`,
		"list":               `[]`,
		"text":               `"computer"`,
		"cut off":            strings.TrimSuffix(fleetAnswer, "]}"),
		"cut off in a value": fleetAnswer[:len(fleetAnswer)/2],
		"empty":              "",
		"page":               "<html></html>",
		"wrong types":        `{"computer":[{"displayName":7}]}`,
	} {
		f, err := clientOf(t, answering(200, body)).Fleet(t.Context())
		var e *Error
		if !errors.As(err, &e) || len(f.Agents) != 0 {
			t.Errorf("%s: got %d agents, %v", name, len(f.Agents), err)
		}
	}
	f, err := clientOf(t, answering(200, `{"busyExecutors":0,"computer":[],"x":[{}]}`)).Fleet(t.Context())
	if err != nil || len(f.Agents) != 0 {
		t.Errorf("an empty fleet: got %v, %v", f, err)
	}
}

func TestAnIdleAgentCostsFewBytes(t *testing.T) {
	t.Parallel()
	if n := len(idleComputer) + len(","); n > 320 {
		t.Errorf("%d bytes per agent and poll", n)
	}
	// The sample has exactly the fields asked for, besides _class, which Jenkins adds by itself.
	var sample map[string]json.RawMessage
	if err := json.Unmarshal([]byte(idleComputer), &sample); err != nil {
		t.Fatal(err)
	}
	for field := range sample {
		if field != "_class" && !strings.Contains(computerFields, field) {
			t.Errorf("%s is not asked for", field)
		}
	}
}

func TestASingleNotFoundDoesNotProveThatAnAgentIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			missing int // answers 404
			gone    bool
			asked   int
		}{{0, false, 1}, {1, false, 2}, {9, true, 2}} {
			asked := 0
			c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked <= tt.missing {
					http.NotFound(w, r)
					return
				}
				answering(200, idleComputer)(w, r)
			})
			a, err := c.Agent(t.Context(), "linux-7")
			if IsNotFound(err) != tt.gone || asked != tt.asked || err == nil && a.Name != "linux-7" {
				t.Errorf("%d times 404: got %v, %v after %d requests", tt.missing, a, err, asked)
			}
		}
	})
}

func FuzzFleet(f *testing.F) {
	f.Add(fleetAnswer)
	f.Add(`{"computer":[null,{},{"displayName":"x","executors":null,"offlineCause":[]}]}`)
	f.Add(`{"computer":[{"displayName":"x","executors":[{"currentExecutable":{"url":"/job/%"}}]}]} trailing`)
	f.Add(`{"computer":[` + idleComputer + `,{"displayName":"x","assignedLabels":[{}],"executors":[{}],"oneOffExecutors":[{}]}]}`)
	f.Add(`{"computer" : [ {"displayName":"a"} , {"displayName":"\\"}]"} ],"x":[{"y":"]"}]}`)
	f.Add(`{"computer":[{"displayName":"a"},]}`)
	f.Fuzz(func(t *testing.T, body string) {
		fleet, err := clientOf(t, answering(200, body)).Fleet(t.Context())
		if err != nil && len(fleet.Agents) > 0 {
			t.Fatalf("half a fleet with error %v", err)
		}
		// Whatever the answer before was, it must be the same.
		for _, before := range []string{body, strings.ReplaceAll(body, "false", "true"), strings.ReplaceAll(body, "},{", ","), strings.ReplaceAll(body, "x", "xx")} {
			said := before
			c := clientOf(t, func(w http.ResponseWriter, r *http.Request) { answering(200, said)(w, r) })
			_, _ = c.Fleet(t.Context()) // which may be nonsense
			said = body
			again, againErr := c.Fleet(t.Context())
			if diff := cmp.Diff(fleet.Agents, again.Agents, cmpopts.EquateEmpty()); diff != "" || (err == nil) != (againErr == nil) {
				t.Fatalf("after %s: error %v, want %v\n%s", before, againErr, err, diff)
			}
		}
		// Read at once, with nothing left over from one agent to the next, it must be the same.
		var whole struct {
			Computer []wireComputer `json:"computer"`
		}
		if err != nil || strings.Count(body, "omputer\"") > 1 || json.Unmarshal([]byte(body), &whole) != nil {
			return
		}
		var want []Agent
		for i := range whole.Computer {
			if a := whole.Computer[i].agent(); a.Name != "" {
				want = append(want, a)
			}
		}
		if diff := cmp.Diff(want, fleet.Agents); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestAFleetIsReadAnewWhereItChanged answers polls in which agents come, change, go and are others.
func TestAFleetIsReadAnewWhereItChanged(t *testing.T) {
	t.Parallel()
	agent := func(name, more string) string {
		return `{"displayName":"` + name + `","executors":[{"idle":true}]` + more + `}`
	}
	said := ""
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) { answering(200, said)(w, r) })
	for _, polled := range [][]string{
		{agent("a", ""), agent("b", "")},
		{agent("a", ""), agent("b", `,"offline":true`)},
		{agent("a", ""), agent("b", `,"offline":true`), agent("c", "")},
		{agent("b", `,"offline":true`), agent("c", "")},
		{agent("b", ""), "null", agent("c", "")},
		{},
		{agent("b", ""), agent("c", `,"x":"}"`)},
	} {
		body := `{"_class":"x","computer":[` + strings.Join(polled, " , ") + `]}`
		want, wantErr := clientOf(t, answering(200, body)).Fleet(t.Context())
		said = body
		got, err := c.Fleet(t.Context())
		if diff := cmp.Diff(want.Agents, got.Agents); diff != "" || err != nil || wantErr != nil {
			t.Errorf("%s: %v, %v\n%s", body, err, wantErr, diff)
		}
		for range 2 { // a poll that goes wrong in between changes nothing
			said = body[:len(body)-3]
			if _, err := c.Fleet(t.Context()); err == nil {
				t.Errorf("%s: half of it was taken for all", body)
			}
		}
	}
}

// TestWhyAnAgentIsOfflineIsAskedForOnce polls agents that are offline for causes with and without a description.
func TestWhyAnAgentIsOfflineIsAskedForOnce(t *testing.T) {
	t.Parallel()
	agent := func(name, cause string) string {
		return `{"displayName":"` + name + `","offline":true,"offlineCause":` + cause + `}`
	}
	const disk, user = `{"_class":"hudson.node_monitors.X","timestamp":1}`, `{"_class":"hudson.slaves.OfflineCause$UserCause","timestamp":1,"description":`
	polled, told, asked := "", "", 0
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		list := polled
		if strings.Contains(r.URL.Query().Get("tree"), "offlineCauseReason") {
			asked++
			list = told
		}
		if list == "" {
			http.NotFound(w, r)
			return
		}
		answering(200, `{"computer":[`+list+`]}`)(w, r)
	})
	reason := func(name, text string) string {
		return `{"displayName":"` + name + `","offlineCauseReason":"` + text + `"}`
	}
	for _, tt := range []struct {
		name, polled, told string
		asked              int
		want               []string
	}{
		{"never connected", agent("a", "null"), "", 0, []string{""}},
		{"a mark of ours", agent("a", user+`"Disconnected by pit : pitcrew: in the way"}`), "", 0, []string{"pitcrew: in the way"}},
		{"in a language that is forced on all", agent("a", user+`"pitによって切断されました : pitcrew: in the way"}`), "", 0, []string{"pitcrew: in the way"}},
		{"escaped", agent("a", user+`"Disconnected by ada : a &lt;b&gt; : c"}`), "", 0, []string{"a <b> : c"}},
		{"without words", agent("a", user+`"Disconnected by ada"}`), "", 0, []string{"Disconnected by ada"}},
		{"idle", agent("a", `{"_class":"hudson.slaves.OfflineCause$IdleOfflineCause","timestamp":1,"description":"idle : long"}`), "", 0, []string{"idle : long"}},
		{"a monitor", agent("a", disk) + "," + agent("b", "null"), reason("b", "") + "," + reason("a", "no &amp;lt; room"), 1, []string{"no < room", ""}},
		{"as it was", agent("a", disk) + "," + agent("b", "null"), "", 1, []string{"no < room", ""}},
		{"another in front", agent("0", disk) + "," + agent("a", disk), reason("0", "full") + "," + reason("a", "no room"), 2, []string{"full", "no room"}},
		{"one that is gone by then", agent("0", disk) + "," + agent("c", disk), reason("0", "full"), 3, []string{"full", ""}},
		{"asked for again", agent("0", disk) + "," + agent("c", disk), reason("c", "broken"), 4, []string{"full", "broken"}},
	} {
		polled, told = tt.polled, tt.told
		f, err := c.Fleet(t.Context())
		var got []string
		for _, a := range f.Agents {
			got = append(got, a.OfflineReason)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil || asked != tt.asked {
			t.Errorf("%s: %v, asked %d times, want %d\n%s", tt.name, err, asked, tt.asked, diff)
		}
	}
	polled, told = agent("z", disk), ""
	if f, err := c.Fleet(t.Context()); err == nil || len(f.Agents) != 0 {
		t.Errorf("the reasons could not be read: %v, %v", f.Agents, err)
	}
}

func fleetOf(n int) string {
	var b strings.Builder
	b.WriteString(`{"_class":"hudson.model.ComputerSet","computer":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(idleComputer, "linux-7", fmt.Sprintf("linux-%04d", i)))
	}
	b.WriteString("]}")
	return b.String()
}

func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) {
			body := fleetOf(n)
			c := clientWith(b, Options{RequestsPerSecond: -1}, answering(200, body))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				f, err := c.Fleet(b.Context())
				if err != nil || len(f.Agents) != n {
					b.Fatal(len(f.Agents), err)
				}
			}
			b.ReportMetric(float64(len(body))/float64(n), "wire-B/agent")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/agent")
		})
	}
}
