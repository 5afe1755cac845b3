// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// ownDirs finds recipes that would empty what a managed agent has for itself: its remote root directory, or one above it. Agents of one
// pool mostly share the path, and are told in one finding.
func ownDirs(ctx context.Context, c Jenkins, v View) []jenkins.Finding {
	const topic = "recipes"
	type place struct{ pool, dir string }
	pools := map[string]PoolView{}
	for _, p := range v.Pools {
		pools[p.Name] = p
	}
	dirs, err := c.RootDirs(ctx)
	if err != nil {
		return []jenkins.Finding{{
			Level: jenkins.LevelWarn, Topic: topic, Remedy: "Try again.",
			Message: fmt.Sprintf("whether a recipe empties the own directory of an agent cannot be told: %v", err),
		}}
	}
	agents := map[place][]string{}
	untold := 0
	for name, d := range v.Decisions {
		agent, there := v.Look.Agents[name]
		pool := pools[d.Pool]
		switch {
		case !there || pool.Endangers == nil:
		case dirs[name] != "":
			at := place{d.Pool, dirs[name]}
			agents[at] = append(agents[at], name)
		case !agent.Offline:
			untold++
		}
	}
	var found []jenkins.Finding
	for at, names := range agents {
		slices.Sort(names)
		for _, why := range pools[at.pool].Endangers(at.dir) {
			found = append(found, jenkins.Finding{
				Level: jenkins.LevelFail, Topic: topic,
				Message: fmt.Sprintf("recipe %s, pool %s, %s: %s", pools[at.pool].Recipe, at.pool, several(names), why),
				Remedy:  "Change what the recipe owns or the step's paths; \"pitcrew recipe check --agent-dir " + at.dir + "\" proves it.",
			})
		}
	}
	slices.SortFunc(found, func(a, b jenkins.Finding) int { return strings.Compare(a.Message, b.Message) })
	if len(agents) == 0 && untold > 0 {
		found = append(found, jenkins.Finding{
			Level: jenkins.LevelWarn, Topic: topic,
			Message: "whether a recipe empties the own directory of an agent cannot be told: the controller does not show the agents' directories",
			Remedy:  "Grant the user Agent/Connect, or check recipes by \"pitcrew recipe check --agent-dir\" with the remote root directories.",
		})
	}
	return found
}

// several names the first of some agents, and how many there are.
func several(names []string) string {
	if len(names) == 1 {
		return "agent " + names[0]
	}
	return fmt.Sprintf("agent %s and %d more", names[0], len(names)-1)
}
