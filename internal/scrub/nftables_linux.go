// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// nftables removes tables and chains through the program nft, which also sees what iptables-nft has made.
type nftables struct {
	owned spec.Ownership
	here  Here
	nft   tool
}

// Look finds the owned tables, and the owned chains in tables of others.
func (n *nftables) Look(ctx context.Context) ([]Deviation, error) {
	var err error
	if n.nft, err = n.here.tool("nft"); err != nil {
		return nil, err
	}
	r, err := n.list(ctx)
	return r.deviations(n.owned), err
}

// list asks nft for all rules.
func (n *nftables) list(ctx context.Context) (ruleset, error) {
	text, err := n.nft.run(ctx, "-j", "list", "ruleset")
	if exit, failed := errors.AsType[Exit](err); failed {
		return ruleset{}, n.unlistable(ctx, exit)
	}
	if err != nil {
		return ruleset{}, err
	}
	return parseRuleset(text)
}

// unlistable tells a kernel without nftables, and one that has no rules, from one whose rules we cannot see.
func (n *nftables) unlistable(ctx context.Context, exit Exit) error {
	switch plain, err := n.nft.run(ctx, "list", "ruleset"); {
	case strings.Contains(exit.Said, "not supported"):
		return Absent{"this kernel has no nftables"}
	case strings.Contains(exit.Said, "not permitted"):
		return errors.New("to list its rules needs root")
	case err == nil && strings.TrimSpace(string(plain)) == "":
		return nil
	case err == nil:
		return fmt.Errorf("nft cannot say in JSON what rules there are; it can from version 0.9.0 on: %w", exit)
	}
	return exit
}

// Mend removes all at once, or each alone if something refuses that.
func (n *nftables) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	if n.remove(ctx, found) == nil {
		return errs
	}
	for i := range found {
		errs[i] = n.remove(ctx, found[i:i+1])
	}
	return errs
}

// remove removes what was found, if it is still there, in one transaction.
func (n *nftables) remove(ctx context.Context, found []Deviation) error {
	r, err := n.list(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, d := range found {
		wanted[d.ID] = true
	}
	commands := r.removal(n.owned, wanted)
	if len(commands) == 0 {
		return nil
	}
	order, err := json.Marshal(map[string]any{"nftables": commands})
	if err != nil {
		return fmt.Errorf("encode the order to nft: %w", err)
	}
	_, err = n.nft.feed(ctx, order, "-j", "-f", "-")
	return err
}
