// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// deskOf lets a rehearsal borrow from the daemon.
type deskOf struct {
	*daemon
	revision string // that production must be at, or the beginning of it; "" = any
}

// Offers implements [rehearsal.Desk].
func (d *deskOf) Offers(ctx context.Context) ([]rehearsal.Offer, error) {
	found, err := d.LoanOffers(ctx, "")
	offers := make([]rehearsal.Offer, len(found))
	for i, o := range found {
		ignore, err := state.ParseIgnore(o.Ignore)
		if err != nil {
			return nil, fmt.Errorf("pool %s ignores what this command does not know: %w", o.Pool, err)
		}
		offers[i] = rehearsal.Offer{
			Controller: o.Controller, Agent: o.Agent, Pool: o.Pool, Labels: o.Labels, OS: o.OS, Arch: o.Arch, Profile: o.Profile,
			Isolated: o.Isolated, CleanSince: o.CleanSince, Spare: o.Spare, SpareThere: o.SpareThere, Root: loan.Root{Rule: loan.RootRule(o.Root), Refs: o.ApprovedRefs},
			Ignore: ignore,
		}
	}
	return offers, err
}

// Program implements [rehearsal.Desk].
func (d *deskOf) Program(ctx context.Context, pool string) (*recipe.Program, error) {
	p, err := d.PoolProgram(ctx, pool)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(p.Revision, d.revision) {
		return nil, fmt.Errorf("pool %s is at revision %.12s, not at %s: give a recipe file to compare with another", pool, p.Revision, d.revision)
	}
	return &recipe.Program{Recipe: p.Recipe, Revision: p.Revision, Digest: p.Digest, Text: []byte(p.Program)}, nil
}

// Request implements [rehearsal.Desk].
func (d *deskOf) Request(ctx context.Context, a rehearsal.Ask) (rehearsal.Loan, error) {
	r := api.LoanRequest{
		Borrower: a.Borrower, Count: 1, Want: api.LoanWant{Agent: a.Agent, Isolated: a.Isolated, Wait: a.Wait.String()},
		To: api.LoanTarget{Kind: string(loan.ToController), URL: a.URL, CA: a.CA}, TTL: a.TTL.String(), Node: a.Node, Secret: a.Secret,
	}
	if a.For > 0 {
		r.For = a.For.String()
	}
	loans, err := d.RequestLoans(ctx, r)
	if err != nil {
		return rehearsal.Loan{}, err
	}
	if len(loans) != 1 {
		return rehearsal.Loan{}, fmt.Errorf("asked for one loan, and got %d", len(loans))
	}
	return rehearsalLoan(loans[0]), nil
}

// Show implements [rehearsal.Desk].
func (d *deskOf) Show(ctx context.Context, id string) (rehearsal.Loan, error) {
	l, err := d.Loan(ctx, id)
	return rehearsalLoan(l), err
}

// Renew implements [rehearsal.Desk].
func (d *deskOf) Renew(ctx context.Context, id string, longer time.Duration) error {
	var r api.LoanRenewal
	if longer > 0 {
		r.For = longer.String()
	}
	_, err := d.RenewLoan(ctx, id, r)
	return err
}

// Return implements [rehearsal.Desk].
func (d *deskOf) Return(ctx context.Context, id, reason string) (rehearsal.Loan, error) {
	l, err := d.ReturnLoan(ctx, id, reason)
	return rehearsalLoan(l), err
}

// mostLoans is how many loans are asked for at once, and as many as the API tells.
const mostLoans = 1000

// Nodes implements [rehearsal.Desk].
func (d *deskOf) Nodes(ctx context.Context) (map[string]bool, error) {
	loans, err := d.Loans(ctx, "", true, mostLoans)
	nodes := make(map[string]bool, len(loans))
	for _, l := range loans {
		if l.Node != "" {
			nodes[l.Node] = loan.State(l.State).Final()
		}
	}
	return nodes, err
}

func rehearsalLoan(l api.Loan) rehearsal.Loan {
	return rehearsal.Loan{ID: l.ID, State: loan.State(l.State), Reason: l.Reason, Cause: loan.Cause(l.Cause), Account: l.Account}
}
