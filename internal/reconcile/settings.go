// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

// Settings is how one controller is serviced. A crew takes new settings at any time with
// [Crew.Apply]; what is in progress goes on under the old ones.
type Settings struct {
	ID          hygiene.ControllerID
	Labels      hygiene.Names
	Poll        time.Duration
	MaxCleanups int // at once, which is also the number of slot jobs
	Jobs        Jobs
	FeedEvery   time.Duration // how often a clean agent is asked for its builds
	DryRun      bool
	Pools       []Pool // the first that matches an agent has it
}

// Jobs says which jobs on the controller carry the programs.
type Jobs struct {
	Folder string // full name of an existing folder, "" = top level
	Prefix string // of slot jobs and of the job that bears the owner's mark
	// Parameterised is the full name of the one job of the nodelabelparameter plugin that is used
	// instead of slots; "" = slots.
	Parameterised string
	// NodeParameter is that job's parameter which names the agent; "" = NODE.
	NodeParameter string
}

// Pool is agents chosen by a label expression, sharing recipe and policy.
type Pool struct {
	Name        string
	Agents      labelexpr.Expr
	Policy      hygiene.Policy
	Program     *recipe.Program
	MaxCleanups int
	Domain      Domain
	Floor       func(total int) int // agents that must be usable, or an alarm is raised; nil = none
	Keeps       func(total int) int // agents that stay clean while others are verified for their age; nil = none
	Breaker     hygiene.BreakerPolicy
	DeadMan     time.Duration
	Target      func(agent string) (sshexec.Target, error) // for SSH; nil = none configured
	Way         func(agent string) string                  // Target in words that are kept, without secrets; "" = they would tell some
	Lend        *Lending                                   // nil = its agents are not lent
}

// Domain groups agents that must not all be out at once, by a label that begins with Prefix.
type Domain struct {
	Prefix string
	Max    int // over all controllers
}

// of returns the failure domain of an agent with labels.
func (d Domain) of(labels []string) string {
	if d.Prefix == "" {
		return ""
	}
	i := slices.IndexFunc(labels, func(l string) bool { return strings.HasPrefix(l, d.Prefix) })
	if i < 0 {
		return ""
	}
	return labels[i]
}

// pool returns the first pool that has an agent with labels, or nil.
func (s *Settings) pool(labels []string) *Pool {
	has := labelexpr.Has(labels...)
	for i := range s.Pools {
		if s.Pools[i].Agents.IsZero() || s.Pools[i].Agents.Matches(has) {
			return &s.Pools[i]
		}
	}
	return nil
}

// named returns the pool called name, or nil when the configuration lost it.
func (s *Settings) named(name string) *Pool {
	i := slices.IndexFunc(s.Pools, func(p Pool) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Pools[i]
}

// showsOnly reports whether the pool called name is only shown what would be done.
func (s *Settings) showsOnly(name string) bool {
	p := s.named(name)
	return s.DryRun || p != nil && p.Policy.DryRun
}

// orphan is the policy of agents that no pool has: they are kept as they are.
var orphan = hygiene.Policy{Paused: "no pool of the configuration has it"}
