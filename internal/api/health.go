// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Health is what /healthz and /readyz answer.
type Health struct {
	Status  string   `json:"status" enum:"ok,failing"`
	Reasons []string `json:"reasons" doc:"What is wrong, in words; empty when all is well"`
}

// healthLimit bounds how long a probe may take.
const healthLimit = 5 * time.Second

// healthz says whether pitcrew does its work: the database can be written, every controller is looked
// at and serviced, no pool's dead-man alarm is raised, and the labels of every agent can be written.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthLimit)
	defer cancel()
	writeHealth(w, s.unhealthy(ctx, time.Now()))
}

// readyz says whether requests can be answered.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthLimit)
	defer cancel()
	writeHealth(w, s.unready(ctx))
}

func (s *Server) unready(ctx context.Context) []string {
	select {
	case <-s.ended:
		return []string{"the daemon stops"}
	default:
	}
	if _, err := s.Store.Pauses(ctx); err != nil {
		_, detail := translate(err)
		return []string{"the store cannot be read: " + detail}
	}
	return nil
}

func (s *Server) unhealthy(ctx context.Context, now time.Time) []string {
	reasons := s.unready(ctx)
	if reasons != nil {
		return reasons
	}
	if at, err := s.Store.Fault(now); err != nil {
		_, detail := translate(err)
		reasons = append(reasons, fmt.Sprintf("the database could not be written %s ago, and nothing was since: %s", now.Sub(at).Round(time.Second), detail))
	}
	for _, c := range s.controllers() {
		v := c.View()
		if v.Refused != "" {
			reasons = append(reasons, fmt.Sprintf("controller %s is not serviced: %s", c.ID, v.Refused))
		} else if late := v.late(s.Started, now); late != "" {
			reasons = append(reasons, fmt.Sprintf("controller %s %s", c.ID, late))
		} else if v.Look != nil && v.Look.Unproven != "" && now.Sub(v.Look.UnprovenSince) > v.staleAfter() {
			reasons = append(reasons, fmt.Sprintf("controller %s: nothing begins while it cannot be told who services it: %s", c.ID, v.Look.Unproven))
		} else if lost := v.lost(); lost != "" {
			reasons = append(reasons, fmt.Sprintf("controller %s: %s", c.ID, lost))
		}
		stuck, err := s.stuck(ctx, c.ID)
		if err != nil {
			_, detail := translate(err)
			return append(reasons, "the store cannot be read: "+detail)
		}
		reasons = append(reasons, stuck...)
		for _, p := range v.Pools {
			row, err := s.Store.PoolState(ctx, p.Scope)
			if err != nil {
				_, detail := translate(err)
				return append(reasons, "the store cannot be read: "+detail)
			}
			if !row.DeadSince.IsZero() {
				reasons = append(reasons, fmt.Sprintf("pool %s of controller %s: agents wait, and none was cleaned for longer than %s; alarm since %s",
					p.Name, c.ID, p.DeadMan, row.DeadSince.Format(time.RFC3339)))
			}
		}
	}
	return reasons
}

// stuck names agents of a controller whose labels cannot be written, a few of many: a permission that is missing on all
// is one fault.
func (s *Server) stuck(ctx context.Context, id hygiene.ControllerID) ([]string, error) {
	const few = 5
	agents, err := s.Store.Agents(ctx, id)
	agents = slices.DeleteFunc(agents, func(a hygiene.Agent) bool { return a.Stuck == nil })
	var reasons []string
	for _, a := range agents[:min(few, len(agents))] {
		reasons = append(reasons, fmt.Sprintf("agent %s is stuck since %s: %s", a.ID, a.Stuck.Since.UTC().Format(time.RFC3339), a.Stuck.Reason))
	}
	if more := len(agents) - few; more > 0 {
		reasons = append(reasons, fmt.Sprintf("%d more agents of controller %s are stuck", more, id))
	}
	return reasons, err
}

// late says that the newest poll is too old, or "". A daemon that has just started gets its time.
func (v View) late(started, now time.Time) string {
	last := v.lastSweep()
	limit := v.staleAfter()
	switch {
	case last.IsZero() && now.Sub(started) > limit:
		return fmt.Sprintf("was never seen since the daemon started %s ago%s", now.Sub(started).Round(time.Second), because(v.Problem))
	case !last.IsZero() && now.Sub(last) > limit:
		return fmt.Sprintf("was last seen %s ago, which is longer than %s%s", now.Sub(last).Round(time.Second), limit, because(v.Problem))
	}
	return ""
}

func because(problem string) string {
	if problem == "" {
		return ""
	}
	return ": " + problem
}

func healthOf(reasons []string) Health {
	if len(reasons) > 0 {
		return Health{Status: "failing", Reasons: reasons}
	}
	return Health{Status: "ok", Reasons: []string{}}
}

func writeHealth(w http.ResponseWriter, reasons []string) {
	h, status := healthOf(reasons), http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h) // the prober has the status
}
