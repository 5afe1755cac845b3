// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// Rollout says that a new revision of a pool's recipe goes to a few agents first, and to others as long as it does well.
type Rollout struct {
	// RehearsalRequired keeps a new revision from all agents of the pool until a rehearsal of it has passed.
	RehearsalRequired bool `yaml:"rehearsalRequired" jsonschema:"default=false"`
	// Named are the agents that get a new revision first, as NAME or CONTROLLER/NAME.
	Named []string `yaml:"named,omitempty"`
	// Canaries is how many agents get it first, with the named ones. 0 means the named ones alone, or one where none is named.
	Canaries int `yaml:"canaries" jsonschema:"default=1,minimum=0,maximum=10000"`
	// Shares are the parts of the pool that get it then, one after the other. Empty means 10%, 50% and 100%.
	Shares []Percent `yaml:"shares,omitempty"`
	// MinCleanups is how many cleanups must succeed in each stage.
	MinCleanups int `yaml:"minCleanups" jsonschema:"default=3,minimum=1,maximum=10000"`
	// Soak is how long each stage lasts at least.
	Soak Duration `yaml:"soak" jsonschema:"default=1h"`
	// Patience pauses a rollout whose stage is not told after so long, because no cleanups come, say. 0 means never.
	Patience Duration `yaml:"patience" jsonschema:"default=72h"`
	// Baseline is the time before a rollout's start for which the record of the old revision counts.
	Baseline Duration `yaml:"baseline" jsonschema:"default=72h"`
	// MaxFailureRate is how many of the cleanups with the new revision may fail.
	MaxFailureRate Percent `yaml:"maxFailureRate" jsonschema:"default=10%"`
	// MaxRise is by how much more of them may fail than with the old revision.
	MaxRise Percent `yaml:"maxRise" jsonschema:"default=5%"`
	// MaxBuildFailureRise is by how much more of the real builds may fail on agents of the new revision than on those of
	// the old one. Builds are read for it while a rollout is under way: one request for each.
	MaxBuildFailureRise Percent `yaml:"maxBuildFailureRise" jsonschema:"default=10%"`
	// OnFailure says what is done about a revision whose cleanups fail too often.
	OnFailure string `yaml:"onFailure" jsonschema:"default=rollback,enum=rollback,enum=pause"`
	// BlameAgents is how many different agents a revision must fail on before it is blamed, and not they.
	BlameAgents int `yaml:"blameAgents" jsonschema:"default=2,minimum=2,maximum=10000"`
	// Stale says when clean agents of an old revision are cleaned again: lazy does it after their next build, once at once.
	Stale string `yaml:"stale" jsonschema:"default=lazy,enum=lazy,enum=once"`
	// StaleAfter is the time after which lazily an agent is cleaned again that nobody has used. 0 means never.
	StaleAfter Duration `yaml:"staleAfter" jsonschema:"default=24h"`
	// Floor is the share of the pool, or the number of agents, that must stay clean while others are cleaned again for their
	// revision. 0 means the capacity floor.
	Floor Share `yaml:"floor" jsonschema:"default=0"`
}

// Percent is a part of a hundred, from 0 to 100.
type Percent float64

// Rate returns it as a part of one.
func (p Percent) Rate() float64 { return float64(p) / 100 }

// UnmarshalText reads a number from 0 to 100, with % or without.
func (p *Percent) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return errors.New("want a percentage from 0% to 100%")
	}
	*p = Percent(n)
	return nil
}

// MarshalText writes p as [Percent.String] does.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String writes p in the form that UnmarshalText reads.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'g', -1, 64) + "%" }

// usualShares are those of a pool that names none.
var usualShares = []int{10, 50, 100}

// RolloutPolicy returns how new revisions are rolled out in pool p of configuration c; ok is false if they are not, and are
// taken at once. Of its floor only the resolution is left, for as many agents as the pool has: see [Pool.RolloutFloor].
func (c *Config) RolloutPolicy(p *Pool) (_ rollout.Policy, ok bool) {
	r := p.Rollout
	if r == nil {
		return rollout.Policy{}, false
	}
	policy := rollout.Policy{
		RehearsalRequired: r.RehearsalRequired,
		Plan:              rollout.Plan{Named: c.canaries(p), Canaries: r.Canaries, Shares: slices.Clone(usualShares)},
		MinCleanups:       r.MinCleanups, Soak: r.Soak.Std(), Patience: r.Patience.Std(), Baseline: r.Baseline.Std(),
		MaxFailureRate: r.MaxFailureRate.Rate(), MaxRise: r.MaxRise.Rate(), MaxBuildFailureRise: r.MaxBuildFailureRise.Rate(),
		OnFailure: rollout.Response(r.OnFailure), BlameAgents: r.BlameAgents,
		Stale: rollout.StalePolicy(r.Stale), StaleAfter: r.StaleAfter.Std(),
	}
	if len(r.Shares) > 0 {
		policy.Plan.Shares = nil
		for _, s := range r.Shares {
			policy.Plan.Shares = append(policy.Plan.Shares, int(s))
		}
	}
	return policy, true
}

// canaries are the agents that a pool names, in full. One without its controller may be on each of the pool's.
func (c *Config) canaries(p *Pool) []rollout.AgentID {
	var ids []rollout.AgentID
	for _, name := range p.Rollout.Named {
		if strings.Contains(name, "/") {
			ids = append(ids, rollout.AgentID(name))
			continue
		}
		for _, controller := range c.Controllers {
			if p.takesFrom(controller.Name) {
				ids = append(ids, rollout.AgentID(controller.Name+"/"+name))
			}
		}
	}
	return ids
}

// RolloutFloor is how many clean agents must remain of a pool with total agents while others are cleaned again for their
// revision.
func (p *Pool) RolloutFloor(total int) int {
	if p.Rollout == nil || p.Rollout.Floor.IsZero() {
		return p.CapacityFloor.Of(total)
	}
	return p.Rollout.Floor.Of(total)
}

func (k *checker) rollout(p *Pool, path string) {
	r := p.Rollout
	for i, s := range r.Shares {
		at := fmt.Sprintf("%s.shares[%d]", path, i)
		switch {
		case s != Percent(int(s)) || s < 1:
			k.problem(at, "want a whole percentage from 1%% to 100%%")
		case i > 0 && s <= r.Shares[i-1]:
			k.problem(at, "want more than the %s before it", r.Shares[i-1])
		}
	}
	if r.Patience > 0 && r.Patience <= r.Soak {
		k.problem(path+".patience", "want more than soak (%s): no stage could be told in time", r.Soak)
	}
	if r.StaleAfter > 0 {
		k.atLeast(path+".staleAfter", r.StaleAfter, time.Minute)
	}
	for i, name := range r.Named {
		controller, agent, full := strings.Cut(name, "/")
		at := fmt.Sprintf("%s.named[%d]", path, i)
		switch {
		case name == "" || full && agent == "":
			k.problem(at, "want the name of an agent, or CONTROLLER/NAME")
		case full && !slices.Contains(k.config.controllerNames(), controller):
			k.problem(at, "no controller is called %q%s", controller, didYouMean(controller, k.config.controllerNames()))
		case full && !p.takesFrom(controller):
			k.problem(at, "the pool takes no agents from controller %s", controller)
		}
	}
	for _, c := range k.config.Controllers {
		if p.takesFrom(c.Name) && c.Jobs.Mode == "parameterised" && p.Delivery == "job" {
			k.problem(path, "controller %s has one job for all cleanups, which carries one revision: a rollout needs jobs.mode slots there, or delivery ssh", c.Name)
		}
	}
}
