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
	at    time.Duration
	label string
	mess  string
	work  time.Duration
}

var messes = []string{"files", "process", "full", "none"}

// trace is an endless stream of orders, equal for equal seeds. Its rate keeps about half of the
// fleet busy.
func trace(seed uint64, agents int) func() order {
	r := rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)) //nolint:gosec // a trace that can be repeated is the point
	at := time.Duration(0)
	gap := meanTurn / time.Duration(max(1, agents)) * 2
	return func() order {
		at += time.Duration(float64(gap) * (0.5 + r.Float64()))
		pick := r.Float64()
		label := kinds[len(kinds)-1].label
		for _, k := range kinds {
			if pick -= k.share; pick < 0 {
				label = k.label
				break
			}
		}
		return order{
			at: at, label: label, mess: messes[r.IntN(len(messes))],
			work: time.Duration(2000+r.IntN(4000)) * time.Millisecond,
		}
	}
}

// meanTurn is about how long one build keeps its agent, cleaning included.
const meanTurn = 9 * time.Second
