// SPDX-License-Identifier: Apache-2.0

package app

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are series of one metric that belong together, such as the agents of a controller by what they are. They change all at once:
// a scrape sees them as they were or as they are, where one between the series of a vector would miss agents, or count them twice.
type gauges struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	told map[string][]prometheus.Metric // by whose they are
}

func newGauges(name, help string, labels ...string) *gauges {
	return &gauges{
		desc: prometheus.NewDesc(prometheus.BuildFQName("pitcrew", "", name), help, labels, nil),
		told: map[string][]prometheus.Metric{},
	}
}

// series is one of them, with the labels of the metric in their order. No two may have the same: no scrape would get an answer.
func (g *gauges) series(value int, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(value), labels...)
}

// tell replaces all series of an owner; none forgets it.
func (g *gauges) tell(owner string, all ...prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(all) == 0 {
		delete(g.told, owner)
		return
	}
	g.told[owner] = all
}

// Describe implements [prometheus.Collector].
func (g *gauges) Describe(to chan<- *prometheus.Desc) { to <- g.desc }

// Collect implements [prometheus.Collector].
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	for _, m := range g.all() { // not under the lock: who reads them may be slow
		to <- m
	}
}

func (g *gauges) all() []prometheus.Metric {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []prometheus.Metric
	for _, told := range g.told {
		all = append(all, told...)
	}
	return all
}
