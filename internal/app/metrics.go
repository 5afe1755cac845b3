// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/notify"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// metrics implements [reconcile.Watcher] for Prometheus. Agents are no label values: a fleet's
// names would be too many, and the API has them.
type metrics struct {
	registry      *prometheus.Registry
	agents        *gauges
	stuck         *gauges
	cleanups      *prometheus.CounterVec
	failedSteps   *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	queueWait     *prometheus.HistogramVec
	contaminated  *prometheus.CounterVec
	residue       *prometheus.CounterVec
	residueBytes  *prometheus.CounterVec
	events        *prometheus.CounterVec
	requests      *prometheus.CounterVec
	requestTime   *prometheus.HistogramVec
	received      *prometheus.CounterVec
	sweeps        *prometheus.CounterVec
	lastSweep     *prometheus.GaugeVec
	heartbeat     *prometheus.GaugeVec
	findings      *prometheus.GaugeVec
	notifications *prometheus.CounterVec
	gateUp        *prometheus.GaugeVec
	gateAtBoot    *prometheus.GaugeVec
	gateFaults    *prometheus.GaugeVec
	gateLedger    *gauges
	gateLaunched  *prometheus.GaugeVec
	loans         loanMetrics
	rollouts      rolloutMetrics
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "pitcrew", Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "pitcrew", Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	together := func(name, help string, labels ...string) *gauges {
		g := newGauges(name, help, labels...)
		m.registry.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "pitcrew", Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.agents = together("agents", "Managed agents by pool, hygiene and occupancy.", "controller", "pool", "hygiene", "occupancy")
	m.stuck = together("stuck_agents", "Agents whose labels cannot be written, by pool.", "controller", "pool")
	m.cleanups = counter("cleanups_total", "Ended cleanups by outcome.", "controller", "pool", "outcome")
	m.failedSteps = counter("cleanup_failed_steps_total", "Failed cleanups by the step that failed.", "controller", "pool", "step")
	m.duration = histogram("cleanup_duration_seconds", "From the start of a cleanup's program to its end, by how deep it cleans.", prometheus.ExponentialBuckets(1, 2, 13), "controller", "pool", "depth")
	m.queueWait = histogram("cleanup_wait_seconds", "From the claim of an agent to the start of the program.", prometheus.ExponentialBuckets(0.125, 2, 14), "controller", "pool")
	m.contaminated = counter("contaminated_builds_total", "Real builds that started on an agent that was not proven clean.", "controller", "pool")
	m.residue = counter("residue_found_total", "Things that cleanups found and that did not belong, by kind of step.", "controller", "pool", "kind")
	m.residueBytes = counter("residue_removed_bytes_total", "What removed residue held, as far as that was learnt.", "controller", "pool", "kind")
	m.events = counter("events_total", "Events by type.", "controller", "type")
	m.requests = counter("jenkins_requests_total", "Requests to Jenkins by operation and status.", "controller", "operation", "status")
	m.requestTime = histogram("jenkins_request_duration_seconds", "Duration of requests to Jenkins.", prometheus.ExponentialBuckets(0.002, 2, 14), "controller", "operation")
	m.received = counter("jenkins_received_bytes_total", "Bytes of answers from Jenkins.", "controller", "operation")
	m.sweeps = counter("sweeps_total", "Polls of a controller by result.", "controller", "result")
	m.lastSweep = gauge("last_sweep_timestamp_seconds", "When the newest successful poll ended.", "controller")
	m.heartbeat = gauge("loop_heartbeat_timestamp_seconds", "When a loop last began a round.", "controller", "loop")
	m.findings = gauge("controller_findings", "What stands in the way at a controller, as it was checked when it was first seen and after its newest restart: warn or fail. The log and doctor say what.", "controller", "level")
	m.notifications = counter("notifications_total", "Deliveries of notifications by result.", "sink", "result")
	m.gateUp = gauge("gate_up", "1 where a gate keeps builds off agents, 0 where it is lost; absent where labels alone do.", "controller")
	m.gateAtBoot = gauge("gate_at_boot", "1 if the gate will be there when the controller starts the next time, 0 if only the console registered it.", "controller")
	m.gateFaults = gauge("gate_faults", "Faults of the gate since it was loaded.", "controller")
	m.gateLedger = together("gate_agents", "Agents in the gate's ledger by state; drifted are clean and changed since, so that nothing starts there.", "controller", "state")
	m.gateLaunched = gauge("gate_launched_agents", "Agents of the gate that the controller launches itself: after a restart they may take a build before the gate is up.", "controller")
	m.rollouts = rolloutMetrics{
		agents: together("rollout_agents", "Agents of a pool that rolls out, by the revision of their newest cleanup; role is what that revision is in the newest rollout.", "pool", "revision", "role"),
		stage:  together("rollout_stage", "1 for the stage that the newest rollout of a pool is in, 0 for the others.", "pool", "stage"),
	}
	m.loans = loanMetrics{
		counts: map[loanKind]int{}, expected: map[string]bool{},
		open:   together("loans", "Loans that are not over by state, and those that are and have a node left at the borrower.", "borrower", "state"),
		ended:  counter("loans_ended_total", "Loans that are over, by what ended them.", "borrower", "state", "cause"),
		attach: histogram("loan_attach_seconds", "From the grant of a loan until the borrower had the agent.", prometheus.ExponentialBuckets(0.25, 2, 12), "borrower"),
		lasted: histogram("loan_duration_seconds", "From when the borrower had the agent until it was clean again.", prometheus.ExponentialBuckets(16, 2, 14), "borrower"),
		back:   histogram("loan_return_seconds", "From the end of a loan until its agent was clean again.", prometheus.ExponentialBuckets(1, 2, 13), "borrower"),
	}
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// expect makes the counters of a controller and its pools begin at zero: a rate over a series that
// appears with its first event misses that event.
func (m *metrics) expect(s reconcile.Settings) {
	controller := string(s.ID)
	for _, result := range []string{"ok", "failed"} {
		m.sweeps.WithLabelValues(controller, result)
	}
	for i := range s.Pools {
		pool := s.Pools[i].Name
		m.contaminated.WithLabelValues(controller, pool)
		m.duration.WithLabelValues(controller, pool, string(cmp.Or(s.Pools[i].Policy.Depth, hygiene.Standard)))
		m.queueWait.WithLabelValues(controller, pool)
		for _, kind := range reconcile.ResidueKinds() {
			m.residue.WithLabelValues(controller, pool, string(kind))
			m.residueBytes.WithLabelValues(controller, pool, string(kind))
		}
		for _, outcome := range []hygiene.Outcome{hygiene.Cleaned, hygiene.Failed, hygiene.Lost, hygiene.GivenBack} {
			m.cleanups.WithLabelValues(controller, pool, string(outcome))
		}
	}
}

// forget ends what is shown of a controller that is not serviced any more: an alarm about its age would never end. What was
// counted stays.
func (m *metrics) forget(controller string) {
	for _, g := range []*gauges{m.agents, m.stuck, m.gateLedger} {
		g.tell(controller)
	}
	for _, v := range []*prometheus.GaugeVec{m.lastSweep, m.heartbeat, m.findings, m.gateUp, m.gateAtBoot, m.gateFaults, m.gateLaunched} {
		v.DeletePartialMatch(prometheus.Labels{"controller": controller})
	}
}

// Swept implements [reconcile.Watcher].
func (m *metrics) Swept(controller hygiene.ControllerID, _ time.Duration, err error) {
	if err != nil {
		m.sweeps.WithLabelValues(string(controller), "failed").Inc()
		return
	}
	m.sweeps.WithLabelValues(string(controller), "ok").Inc()
	m.lastSweep.WithLabelValues(string(controller)).SetToCurrentTime()
}

// Decided implements [reconcile.Watcher].
func (m *metrics) Decided(controller hygiene.ControllerID, decisions []reconcile.Decision) {
	type key struct {
		pool string
		h    hygiene.Hygiene
		o    hygiene.Occupancy
	}
	counts, stuck := map[key]int{}, map[string]int{}
	for i := range decisions {
		d := &decisions[i]
		counts[key{d.Pool, d.Hygiene, d.Occupancy}]++
		if d.Stuck {
			stuck[d.Pool]++
		} else {
			stuck[d.Pool] += 0 // a series that begins with its first agent alarms nobody who watches for a change
		}
	}
	agents, stuckAgents := []prometheus.Metric(nil), []prometheus.Metric(nil)
	for k, n := range counts {
		agents = append(agents, m.agents.series(n, string(controller), k.pool, string(k.h), string(k.o)))
	}
	for pool, n := range stuck {
		stuckAgents = append(stuckAgents, m.stuck.series(n, string(controller), pool))
	}
	m.agents.tell(string(controller), agents...)
	m.stuck.tell(string(controller), stuckAgents...)
}

// Changed implements [reconcile.Watcher].
func (m *metrics) Changed(e hygiene.Event) {
	m.events.WithLabelValues(string(e.Agent.Controller), string(e.Type)).Inc()
	if e.Type == hygiene.EventContaminated {
		m.contaminated.WithLabelValues(string(e.Agent.Controller), e.Pool).Inc()
	}
}

// Ended implements [reconcile.Watcher].
func (m *metrics) Ended(a hygiene.Agent, t hygiene.Attempt, queued, ran time.Duration) {
	controller := string(a.ID.Controller)
	m.cleanups.WithLabelValues(controller, t.Pool, string(t.Outcome)).Inc()
	if t.Outcome == hygiene.Failed {
		m.failedSteps.WithLabelValues(controller, t.Pool, t.Step).Inc()
	}
	if t.Started.IsZero() {
		return
	}
	m.duration.WithLabelValues(controller, t.Pool, string(t.Depth)).Observe(ran.Seconds())
	m.queueWait.WithLabelValues(controller, t.Pool).Observe(queued.Seconds())
}

// Found implements [reconcile.Watcher].
func (m *metrics) Found(a hygiene.Agent, t hygiene.Attempt, r reconcile.Residue) {
	labels := []string{string(a.ID.Controller), t.Pool, string(r.Kind)}
	m.residue.WithLabelValues(labels...).Add(float64(r.Things))
	m.residueBytes.WithLabelValues(labels...).Add(float64(r.Bytes))
}

// Beat implements [reconcile.Watcher].
func (m *metrics) Beat(controller hygiene.ControllerID, loop string, at time.Time) {
	m.heartbeat.WithLabelValues(string(controller), loop).Set(float64(at.UnixMilli()) / 1000)
}

// Gated implements [reconcile.Watcher].
func (m *metrics) Gated(controller hygiene.ControllerID, sight reconcile.GateSight) {
	name, s := prometheus.Labels{"controller": string(controller)}, sight.Status
	if s == nil {
		for _, v := range []*prometheus.GaugeVec{m.gateAtBoot, m.gateFaults, m.gateLaunched} {
			v.Delete(name)
		}
		m.gateLedger.tell(string(controller))
		if sight.Lost {
			m.gateUp.With(name).Set(0) // without deleting it first: a scrape in between would find no gate to be missed
		} else {
			m.gateUp.Delete(name)
		}
		return
	}
	m.gateUp.With(name).Set(1)
	m.gateLaunched.With(name).Set(float64(sight.Launched))
	m.gateFaults.With(name).Set(float64(s.Failed))
	atBoot := 0.0
	if s.AtBoot() {
		atBoot = 1
	}
	m.gateAtBoot.With(name).Set(atBoot)
	counts := map[string]int{"drifted": 0, string(gate.Unknown): 0, string(gate.Claimed): 0, string(gate.Clean): 0, string(gate.Used): 0, string(gate.Held): 0}
	for _, a := range s.Agents {
		if a.Drift != "" {
			counts["drifted"]++
		} else {
			counts[string(a.State)]++
		}
	}
	var ledger []prometheus.Metric
	for state, n := range counts {
		ledger = append(ledger, m.gateLedger.series(n, string(controller), state))
	}
	m.gateLedger.tell(string(controller), ledger...)
}

// observe counts the requests to one controller.
func (m *metrics) observe(controller string) func(jenkins.Call) {
	return func(c jenkins.Call) {
		status := "none"
		if c.Status != 0 {
			status = strconv.Itoa(c.Status)
		}
		m.requests.WithLabelValues(controller, c.Op, status).Inc()
		m.requestTime.WithLabelValues(controller, c.Op).Observe(c.Duration.Seconds())
		m.received.WithLabelValues(controller, c.Op).Add(float64(c.BytesIn))
	}
}

func (m *metrics) delivered(d notify.Delivery) {
	result := "ok"
	switch {
	case d.GivenUp:
		result = "given up"
	case d.Err != nil:
		result = "failed"
	}
	m.notifications.WithLabelValues(d.Sink, result).Inc()
}
