// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"iter"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// Controller is what the API needs of one controller that the daemon services.
type Controller struct {
	ID      hygiene.ControllerID
	Orders  Orders
	Jenkins Jenkins
	View    func() View // what the crew knows now; must be quick
}

// Orders is what people may ask of a crew. Actor is who asks. The agent is known to be managed
// when one is called, but may have ceased to be.
type Orders interface {
	OrderClean(ctx context.Context, agent, actor, reason string, depth hygiene.Depth) error
	OrderHold(ctx context.Context, agent, actor, reason string, expires time.Time) error
	OrderRelease(ctx context.Context, agent, actor, reason string) error
	OrderQuarantine(ctx context.Context, agent, actor, reason string, nextLook time.Time) error
	// OrderExclusive sets usage EXCLUSIVE and one executor in the agent's configuration.
	OrderExclusive(ctx context.Context, agent, actor, reason string) error
	// OrderTrial closes a pool's open breaker, and reports whether it was open.
	OrderTrial(ctx context.Context, pool, actor, reason string) (bool, error)
	// LeaveGate tells the crew that its gate is about to be removed, or that one that is lost does not come back.
	LeaveGate(ctx context.Context, actor, reason string) error
	// Poke makes the crew look at its controller now.
	Poke()
}

// Jenkins is what the API asks a controller itself; *[jenkins.Client] answers.
type Jenkins interface {
	Jobs(ctx context.Context) iter.Seq2[jenkins.JobInfo, error]
	Check(ctx context.Context, o jenkins.CheckOptions) []jenkins.Finding
	RootDirs(ctx context.Context) (map[string]string, error)
}

// View is what a crew knows of its controller. It is read-only.
type View struct {
	URL       string
	Refused   string // why the controller is not serviced; "" = it is
	Problem   string // why the newest poll failed; "" = it did not
	DryRun    bool
	Poll      time.Duration
	Stale     time.Duration // polls older than this are a fault; 0 = ten intervals, at least two minutes
	Labels    hygiene.Names
	Folder    string // of the cleanup jobs; "" = top level
	Owns      func(job string) bool
	Pools     []PoolView
	Look      *Look               // nil before the first poll
	Decisions map[string]Decision // the newest about each agent, by name
}

// Look is what the newest successful poll saw.
type Look struct {
	At            time.Time
	Session       string
	Version       string
	Agents        map[string]jenkins.Agent // by name
	Queue         jenkins.Queue
	Gate          GateView
	Unproven      string    // why it cannot be told whether we still service the controller; "" = it can
	UnprovenSince time.Time // of that
}

// Decision is what was decided about one agent, and why.
type Decision struct {
	At       time.Time
	Agent    hygiene.AgentID
	Pool     string
	Action   hygiene.Action
	Sighting hygiene.Sighting
	Chosen   bool   // for actions that the caps may keep waiting
	Turn     int    // of such an action: its place in the order of choice, from 1; 0 = it is none
	Reason   string // why it waits, or the action's own reason
}

// PoolView is a pool as it is configured.
type PoolView struct {
	Name        string
	Scope       string // under which its breaker and dead-man alarm are stored
	Agents      string // label expression; "" = all
	Recipe      string
	Revision    string
	Delivery    hygiene.Delivery
	MaxCleanups int // 0 = no cap of its own
	DryRun      bool
	DeadMan     time.Duration
	TTL         time.Duration
	Lends       bool            // its agents are lent
	Program     *recipe.Program // that cleans them; nil = there is none
	// Endangers says what of the recipe may not be done where an agent has a directory for itself.
	Endangers func(dir string) []string
}

// minStale keeps short polls from raising an alarm for every slow answer.
const minStale = 2 * time.Minute

func (v View) staleAfter() time.Duration {
	if v.Stale > 0 {
		return v.Stale
	}
	return max(10*v.Poll, minStale)
}

// lastSweep returns when the newest successful poll was sent; zero before the first.
func (v View) lastSweep() time.Time {
	if v.Look == nil {
		return time.Time{}
	}
	return v.Look.At
}

// labelsOf returns an agent's labels as the newest poll saw them, nil when it was not listed.
func (v View) labelsOf(agent string) []string {
	if v.Look == nil {
		return nil
	}
	return v.Look.Agents[agent].Labels
}

// controller finds a controller by its name.
func (s *Server) controller(id string) (Controller, bool) {
	for _, c := range s.controllers() {
		if string(c.ID) == id {
			return c, true
		}
	}
	return Controller{}, false
}
