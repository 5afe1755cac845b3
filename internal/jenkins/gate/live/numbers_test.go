// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// numbers prints what the gate costs. None of them fails the suite: they are those of a machine.
func (s *suite) numbers(t *testing.T) {
	t.Run("throughput", s.throughput)
	t.Run("event latency", s.latency)
	t.Run("scale", s.scale)
}

// spread is some times, or other numbers.
type spread []float64

// at is the value that a share of all are not above.
func (v spread) at(share float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func (v spread) String() string {
	return fmt.Sprintf("median %.1f (%.1f to %.1f, %d times)", v.at(0.5), v.at(0), v.at(1), len(v))
}

func (v *spread) since(t time.Time) { *v = append(*v, float64(time.Since(t).Microseconds())/1000) }

// met says whether a goal is reached.
func met(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

// throughput counts trivial builds on agents that are not the gate's, by turns with a gate and without.
func (s *suite) throughput(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*s.size.limit)
	defer cancel()
	label := s.Prefix + "-free"
	must(t, s.remove(ctx))
	s.configure(ctx, t, label, 1, false)
	var perMinute [2]spread // without, with
	for i := range 2*s.size.pairs + 1 {
		with := i % 2 // the first warms up
		if (i-1)/2%2 == 1 {
			with = 1 - with // who begins a pair changes as well
		}
		if with == 1 {
			must(t, s.install(ctx, false))
		} else {
			must(t, s.remove(ctx))
		}
		name := s.jobName(t, strconv.Itoa(i))
		s.Job(ctx, t, name, job{name, label, "N", "#!/bin/sh\n:\n"}.document())
		_, err := s.submit(ctx, []string{name}, 0, s.size.trivial)
		must(t, err)
		must(t, s.drain(ctx))
		n, took := s.span(ctx, t, name)
		if n != s.size.trivial {
			t.Fatalf("%d builds of %d", n, s.size.trivial)
		}
		if i > 0 {
			perMinute[with] = append(perMinute[with], float64(n)/took.Minutes())
		}
	}
	ratio := perMinute[1].at(0.5) / perMinute[0].at(0.5)
	t.Logf("builds per minute: without a gate %s; with it %s; ratio %.3f, goal at least 0.98: %s",
		perMinute[0], perMinute[1], ratio, met(ratio >= 0.98))
}

// latency takes the time from the request that causes an event to its arrival at a client that waits, in whose time the
// request itself is: no two clocks are compared.
func (s *suite) latency(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), s.size.limit)
	defer cancel()
	must(t, s.install(ctx, false))
	s.configure(ctx, t, labels.Cleanable, 1, false)
	g := gate.NewClient(s.client, labels)
	status, err := g.Status(ctx)
	must(t, err)
	agent, seq := s.fleet[0].Name, status.Seq
	type heard struct {
		at  time.Time
		seq int64
		err error
	}
	var event, answer spread
	for range s.size.events {
		arrived := make(chan heard, 1)
		go func() {
			news, err := g.Events(ctx, status.Session, seq, 5*time.Second)
			h := heard{at: time.Now(), err: err}
			if err == nil {
				if h.seq = news.Seq; len(news.Events) == 0 {
					h.err = errors.New("no event came")
				}
			}
			arrived <- h
		}()
		pause(ctx, 15*time.Millisecond) // it waits
		began := time.Now()
		said, err := g.Revoke(ctx, owner, gate.Ref{Agent: agent})
		answer.since(began)
		must(t, errors.Join(err, said.Err("revoke", agent)))
		h := <-arrived
		must(t, h.err)
		event, seq = append(event, float64(h.at.Sub(began).Microseconds())/1000), h.seq
	}
	t.Logf("event, from the request that causes it to its arrival, ms: %s, 95 %% %.1f; goal median under 5: %s. The request itself: %s",
		event, event.at(0.95), met(event.at(0.5) < 5), answer)
}

// Sizes of the fleet that is never connected.
const (
	many, most           = 1000, 5000
	quarantined, queuing = 200, 50
)

// scale has thousands of nodes: how long the status takes, and one run of the queue's maintenance.
func (s *suite) scale(t *testing.T) {
	if !s.long() {
		t.Skip("thousands of nodes: PITCREW_LONG is not set, and no controller named")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	must(t, s.install(ctx, false))
	prefix := s.Unique("n")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Minute)
		defer cancel()
		if err := s.clear(ctx, func(name string) bool { return strings.HasPrefix(name, prefix) }); err != nil {
			t.Errorf("remove the nodes: %v", err)
		}
	})
	node := func(i int) string { return fmt.Sprintf("%s-%04d", prefix, i) }
	must(t, s.nodes(ctx, node, 0, many))
	g := gate.NewClient(s.client, labels)
	must(t, together(quarantined, func(i int) error {
		answer, err := g.Hold(ctx, owner, gate.Ref{Agent: node(i)})
		return errors.Join(err, answer.Err("hold", node(i)))
	}))
	must(t, together(queuing, func(i int) error { return s.queueCleanup(ctx, g, node(quarantined+i)) }))
	s.statusAt(ctx, t, many)
	s.maintenance(ctx, t, "with the gate")
	must(t, s.nodes(ctx, node, many, most))
	s.statusAt(ctx, t, most)
	must(t, s.remove(ctx))
	must(t, s.clear(ctx, func(name string) bool {
		return strings.HasPrefix(name, prefix) && name > node(many-1) && !strings.HasSuffix(name, "-slot")
	}))
	s.maintenance(ctx, t, "without a gate")
}

// nodes makes nodes that nobody connects, from one number up to another.
func (s *suite) nodes(ctx context.Context, name func(int) string, from, to int) error {
	return together(to-from, func(i int) error {
		form := testbed.NodeSpec{Name: name(from + i), Labels: labels.Cleanable, RemoteFS: "/nonexistent"}.Form()
		a, err := s.Send(ctx, testbed.Request{
			Method: http.MethodPost, Path: "/computer/doCreateItem", ContentType: "application/x-www-form-urlencoded", Body: form.Encode(),
		})
		if err == nil && a.Status != http.StatusFound {
			err = fmt.Errorf("create %s: status %d: %s", name(from+i), a.Status, a.Excerpt())
		}
		return err
	})
}

// queueCleanup claims a node that is not connected, and queues its cleanup.
func (s *suite) queueCleanup(ctx context.Context, g *gate.Client, node string) error {
	name := node + "-slot"
	if err := s.client.CreateJob(ctx, name, []byte(job{name, node, "PITCREW_ATTEMPT", "#!/bin/sh\n:\n"}.document())); err != nil {
		return err
	}
	answer, err := g.Claim(ctx, owner, gate.Claim{Agent: node, Attempt: 1, Job: name, Offline: true})
	if err := errors.Join(err, answer.Err("claim", node)); err != nil {
		return err
	}
	_, err = s.client.Build(ctx, name, map[string]string{"PITCREW_ATTEMPT": "1"}, nil)
	return err
}

// statusAt times the ledger, read whole.
func (s *suite) statusAt(ctx context.Context, t *testing.T, nodes int) {
	t.Helper()
	var took spread
	size := 0
	for i := range 23 {
		began := time.Now()
		a, err := s.Send(ctx, testbed.Request{Method: http.MethodGet, Path: "/pitcrew-gate/status"})
		must(t, err)
		if a.Status != http.StatusOK {
			t.Fatalf("status %d: %s", a.Status, a.Excerpt())
		}
		if size = len(a.Body); i > 2 {
			took.since(began)
		}
	}
	t.Logf("status at %d agents, %d bytes, ms: %s; goal under 5: %s", nodes, size, took, met(took.at(0.5) < 5))
}

// maintenance times runs of the queue's maintenance, inside the controller.
func (s *suite) maintenance(ctx context.Context, t *testing.T, how string) {
	t.Helper()
	if !s.Real {
		t.Log("one run of the queue's maintenance: not measured, for it is none of Jenkins' here")
		return
	}
	lines, err := s.script(ctx, maintainScript)
	must(t, err)
	var took spread
	for _, word := range strings.Fields(lines[0])[1:] {
		ns, err := strconv.ParseFloat(word, 64)
		must(t, err)
		took = append(took, ns/1e6)
	}
	t.Logf("one run of the queue's maintenance, %d cleanups queued, %d agents quarantined of %d, %s, ms: %s", queuing, quarantined, many, how, took)
}
