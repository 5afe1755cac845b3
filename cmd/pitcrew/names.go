// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// controllerNames are those of the daemon's configuration.
func (d *daemon) controllerNames(ctx context.Context) ([]string, error) {
	found, err := d.Controllers(ctx)
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.Name
	}
	return names, err
}

// controllersFor are the names that --controller stands for: one, which the daemon refuses where it knows none such, or ""
// for all.
func (d *daemon) controllersFor(ctx context.Context, controller string) ([]string, error) {
	if controller == "" {
		return d.controllerNames(ctx)
	}
	return []string{controller}, nil
}

// poolNames are those of the daemon's configuration, each once: a pool may have several controllers.
func (d *daemon) poolNames(ctx context.Context) ([]string, error) {
	found, err := d.Pools(ctx)
	names := make([]string, len(found))
	for i, p := range found {
		names[i] = p.Name
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// known refuses the name of a controller or pool that there is not; "" names none. A list that is empty because
// of a mistyped name would read as good news. History has names that are gone: there it is asked only when nothing
// was found.
func (d *daemon) known(ctx context.Context, controller, pool string) error {
	for _, k := range []struct {
		noun, name string
		names      func(context.Context) ([]string, error)
	}{{"controller", controller, d.controllerNames}, {"pool", pool, d.poolNames}} {
		if k.name == "" {
			continue
		}
		names, err := k.names(ctx)
		if err != nil {
			return err
		}
		if !slices.Contains(names, k.name) {
			return usage("there is no %s %q; there are: %s", k.noun, k.name, dash(strings.Join(names, ", ")))
		}
	}
	return nil
}

// offerScopes lets the shell offer names for --controller and --pool.
func (c *cli) offerScopes(cmd *cobra.Command, o *connection) {
	for flag, names := range map[string]func(*daemon, context.Context) ([]string, error){
		"controller": (*daemon).controllerNames, "pool": (*daemon).poolNames,
	} {
		if cmd.Flags().Lookup(flag) == nil {
			continue
		}
		offer := func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			ctx, cancel := context.WithTimeout(cmd.Context(), offerLimit)
			defer cancel()
			var found []string
			if d, ok := c.offering(o); ok {
				found, _ = names(d, ctx) // a daemon that does not answer offers none
			}
			return found, cobra.ShellCompDirectiveNoFileComp
		}
		if err := cmd.RegisterFlagCompletionFunc(flag, offer); err != nil {
			panic(err) // it has values already: a mistake in this program
		}
	}
}
