// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// kind is a kind of agents, with its share of the fleet.
type kind struct {
	label string
	share float64
}

var kinds = []kind{{"el7", 0.5}, {"el8", 0.3}, {"s390x", 0.2}}

// projects have one job for each kind of agents. Several, because a controller likes to send a job
// to the agent that it ran on before: with one job alone, chance would decide about all builds
// whether a sick agent is that one.
var projects = []string{"api", "client", "docs", "engine", "installer", "storage"}

// agentPlan is one agent of the fleet.
type agentPlan struct {
	name, label string
	sick, flaky bool
}

// plannedFleet makes n agents. From four agents on one is sick for good and one in five has a
// setup that fails now and then.
func plannedFleet(n int) []agentPlan {
	fleet := make([]agentPlan, 0, n)
	for i := range n {
		label := kinds[len(kinds)-1].label
		passed := 0.0
		for _, k := range kinds {
			if passed += k.share; float64(i)+0.5 < passed*float64(n) {
				label = k.label
				break
			}
		}
		fleet = append(fleet, agentPlan{
			name: fmt.Sprintf("%s-%02d", label, i+1), label: label,
			sick: n >= 4 && i == n/4, flaky: n >= 4 && i%5 == 3,
		})
	}
	return fleet
}

// order is one build that a user asks for.
type order struct {
	at             time.Duration // since the fleet was opened to users
	project, label string
	mess           string
	work           time.Duration
}

var messes = []string{"files", "process", "full", "none"}

// meanTurn is about how long one build keeps its agent, cleaning included.
const meanTurn = 9 * time.Second

// trace is an endless stream of orders for the kinds of agents that the fleet has, equal for equal
// seeds and fleets. Its rate keeps about half of the fleet busy.
func trace(seed uint64, fleet []agentPlan) func() order {
	r := rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)) //nolint:gosec // a trace that can be repeated is the point
	var at time.Duration
	gap := 2 * meanTurn / time.Duration(len(fleet))
	return func() order {
		at += time.Duration(float64(gap) * (0.5 + r.Float64()))
		return order{
			at: at, project: projects[r.IntN(len(projects))], label: fleet[r.IntN(len(fleet))].label,
			mess: messes[r.IntN(len(messes))], work: time.Duration(2000+r.IntN(4000)) * time.Millisecond,
		}
	}
}
