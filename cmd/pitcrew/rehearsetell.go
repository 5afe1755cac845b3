// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
)

// tell writes the result where it is wanted.
func (r *rehearsing) tell(result *rehearsal.Result) error {
	if r.format.structured() {
		return r.print(r.format, result)
	}
	var b strings.Builder
	for i := range result.Agents {
		a := &result.Agents[i]
		fmt.Fprintf(&b, "%s (pool %s)\n", a.Name(), a.Pool)
		for _, c := range a.Cases {
			fmt.Fprintf(&b, "  %-8s %s%s\n", c.Outcome, c.Name, because(c.Reason))
		}
		for _, d := range a.Differs {
			fmt.Fprintf(&b, "  differs from production: %s\n", d)
		}
	}
	for _, g := range result.Gaps {
		fmt.Fprintf(&b, "not covered: %s\n", g)
	}
	fmt.Fprintf(&b, "%s %.12s: %s\n", result.Recipe, result.Revision, result.Outcome())
	_, err := fmt.Fprint(r.out, b.String())
	return err
}
