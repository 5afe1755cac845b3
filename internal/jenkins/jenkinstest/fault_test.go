// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFaultsHitWhatTheySelect(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.j.Inject(Fault{Method: "GET", Path: "/computer/*/config.xml", Skip: 1, Count: 2, Status: 502})
		var got []int
		for range 5 {
			got = append(got, b.do("GET", "/computer/a1/config.xml", "").status)
		}
		b.want(got, []int{200, 502, 502, 200, 200}, "statuses")
		remove := b.j.Inject(Fault{Path: "/computer/**", Status: 503})
		b.get(503, "/computer/a1/api/json")
		b.get(200, "/api/json")
		remove()
		b.get(200, "/computer/a1/api/json")
	})
}

func TestDroppedPostIsA200WithoutEffect(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.j.Inject(Fault{Method: "POST", Path: "/computer/a1/config.xml", Count: 1, Drop: true})
		b.setLabels("a1", "x", "y")
		b.want(b.j.Labels("a1"), "x", "labels after the dropped POST")
		b.setLabels("a1", "x", "y")
		b.want(b.j.Labels("a1"), "y", "labels after the next")
	})
}

func TestConnectionsBreakBeforeDuringAndAfterTheAnswer(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.j.Inject(Fault{Count: 1, Refuse: true})
		if _, err := b.send("GET", "/api/json", ""); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("before: %v", err)
		}
		b.j.Inject(Fault{Count: 1, Break: 20})
		if a, err := b.send("GET", "/api/json", ""); !errors.Is(err, io.ErrUnexpectedEOF) || len(a.body) != 20 {
			t.Errorf("during: %v after %q", err, a.body)
		}
		b.j.Inject(Fault{Method: "POST", Count: 1, Lose: true})
		doc := relabelled(b.config("a1"), "x", "y")
		if _, err := b.send("POST", "/computer/a1/config.xml", doc); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after: %v", err)
		}
		b.want(b.j.Labels("a1"), "y", "the lost answer's effect")
	})
}

func TestTruncatedBodyLooksComplete(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.j.Inject(Fault{Count: 1, Truncate: 20})
		a := b.get(200, "/api/json")
		var v any
		if len(a.body) != 20 || json.Unmarshal([]byte(a.body), &v) == nil {
			t.Errorf("body %q", a.body)
		}
	})
}

func TestLatencyAndSlowQueueLock(t *testing.T) {
	inBubble(t, Options{Timing: Timing{QueueLock: 7 * second}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		took := func(method, path string) float64 {
			start := time.Now()
			b.do(method, path, "")
			return time.Since(start).Seconds()
		}
		b.want(took("GET", "/computer/api/json"), 0, "GETs keep working")
		b.want(took("POST", "/computer/a1/toggleOffline"), 7, "POSTs wait for the lock")
		b.j.Inject(Fault{Latency: 2 * second})
		b.want(took("GET", "/computer/api/json"), 2, "latency")
	})
}

func TestHooksInterleaveWithARequest(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.j.Inject(Fault{Method: "POST", Count: 1, After: func(*http.Request) { b.j.SaveLabels("a1", "person", "bob") }})
		b.setLabels("a1", "x", "y")
		b.want(b.j.Labels("a1"), "person", "labels")
	})
}

func TestRestartAtTheNthRequest(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		before := b.j.Session()
		b.j.Inject(Fault{Skip: 2, Count: 1, Restarts: true})
		for range 3 {
			b.get(200, "/login")
		}
		settle()
		b.want(b.j.Session() != before, true, "restarted")
	})
}

func TestProbabilityIsReproducible(t *testing.T) {
	run := func(seed uint64) (got string) {
		j, err := New(Options{Seed: seed, Security: Security{Users: []User{admin}}})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		j.Inject(Fault{Probability: 0.5, Status: 500})
		for range 32 {
			rec := httptest.NewRecorder()
			j.ServeHTTP(rec, httptest.NewRequest("GET", "/login", nil))
			got += string('0' + rune(rec.Code/100))
		}
		return got
	}
	first := run(7)
	if first != run(7) || first == run(8) || !strings.Contains(first, "5") || !strings.Contains(first, "2") {
		t.Errorf("seed 7: %s", first)
	}
}

func TestLostItemsAndBuilds(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.job(JobSpec{Name: "x", Label: "clean"})
		id := b.start("x")
		settle()
		b.want(b.j.LoseQueueItem(1), true, "lost")
		b.get(404, "/queue/item/"+id+"/api/json")
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		settle()
		b.want(len(b.j.Builds("x")), 0, "never built")
		b.start("x")
		settle()
		b.want(b.j.DeleteBuild("x", 1), true, "deleted")
		b.get(404, "/job/x/1/api/json")
	})
}

func TestServesRealSocketsToo(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	defer b.j.Close()
	s := httptest.NewServer(b.j)
	defer s.Close()
	b.url, b.rt = s.URL, &http.Transport{DisableKeepAlives: true}
	b.agent(AgentSpec{Name: "a1"})
	a := b.get(302, "/computer/a1")
	b.want(a.header.Get("Location"), s.URL+"/computer/a1/", "location")
	b.get(400, "/api/json;x")
	b.j.Inject(Fault{Count: 1, Lose: true})
	if _, err := b.send("GET", "/api/json", ""); err == nil {
		t.Error("no error from a broken connection")
	}
}
