// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// allHygiene asks for agents in any state, those that are not managed included.
var allHygiene = []string{
	string(hygiene.IsUnmanaged), string(hygiene.IsDue), string(hygiene.IsCleaning), string(hygiene.IsClean), string(hygiene.IsQuarantined),
}

// fullName is how an agent is named beyond doubt. Neither part can have a slash.
func fullName(controller, agent string) string { return controller + "/" + agent }

// agent finds the agent that an argument names: NAME where only one controller has it, else
// CONTROLLER/NAME.
func (d *daemon) agent(ctx context.Context, arg string) (api.Agent, error) {
	controller, name, full := strings.Cut(arg, "/")
	if !full {
		controller, name = "", arg
	}
	if name == "" {
		return api.Agent{}, usage("%q names no agent: want NAME or CONTROLLER/NAME", arg)
	}
	var found []api.Agent
	for a, err := range d.Agents(ctx, api.AgentQuery{Controller: controller, Name: name, Hygiene: allHygiene}) {
		if err != nil {
			return api.Agent{}, cmp.Or(d.known(ctx, controller, ""), err)
		}
		found = append(found, a)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return api.Agent{}, fmt.Errorf("there is no agent %s; \"pitcrew agents\" lists those that are managed", arg)
	}
	names := make([]string, len(found))
	for i, a := range found {
		names[i] = fullName(a.Controller, a.Name)
	}
	return api.Agent{}, usage("%d agents are called %s: say %s", len(found), name, strings.Join(names, " or "))
}

// agents finds all agents that arguments name, before anything is done to any of them.
func (d *daemon) agents(ctx context.Context, args []string) ([]api.Agent, error) {
	found := make([]api.Agent, 0, len(args))
	for _, arg := range args {
		a, err := d.agent(ctx, arg)
		if err != nil {
			return nil, err
		}
		found = append(found, a)
	}
	return found, nil
}

// offerLimit bounds how long a user waits for the shell to offer names.
const offerLimit = time.Second

// offerAgents lets the shell offer the names of the agents that there are now. A daemon that does
// not answer offers none, silently: anything printed would garble the command line.
func (c *cli) offerAgents(o *connection, many bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), offerLimit)
		defer cancel()
		return c.agentNames(ctx, o, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// offering is the daemon whose names are offered, if it is known which one that is.
func (c *cli) offering(o *connection) (*daemon, bool) {
	here, err := c.local(o)
	if err != nil && here.uncertain {
		return nil, false
	}
	d, err := c.reach(o, here)
	return d, err == nil
}

func (c *cli) agentNames(ctx context.Context, o *connection, taken []string) []string {
	d, ok := c.offering(o)
	if !ok {
		return nil
	}
	byName := map[string][]api.Agent{}
	var order []string
	for a, err := range d.Agents(ctx, api.AgentQuery{}) {
		if err != nil {
			return nil
		}
		if byName[a.Name] == nil {
			order = append(order, a.Name)
		}
		byName[a.Name] = append(byName[a.Name], a)
	}
	skip := map[string]bool{}
	for _, name := range taken {
		skip[name] = true
	}
	var out []string
	for _, name := range order {
		for _, a := range byName[name] {
			offered := name
			if len(byName[name]) > 1 {
				offered = fullName(a.Controller, name)
			}
			if !skip[offered] {
				out = append(out, cobra.CompletionWithDesc(offered, a.Hygiene))
			}
		}
	}
	return out
}
