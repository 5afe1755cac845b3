// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// Desk is where agents are lent: the daemon of the lender.
type Desk interface {
	// Offers lists the agents that could be lent now.
	Offers(ctx context.Context) ([]Offer, error)
	// Program returns what cleans the agents of a pool in production.
	Program(ctx context.Context, pool string) (*recipe.Program, error)
	Request(ctx context.Context, a Ask) (Loan, error)
	Show(ctx context.Context, id string) (Loan, error)
	// Renew gives a sign of life, and lets the loan last longer from now if that is not 0. One that is over is an error.
	Renew(ctx context.Context, id string, longer time.Duration) error
	// Return ends a loan. One that is over is no error.
	Return(ctx context.Context, id, reason string) (Loan, error)
	// Nodes tells of the nodes that agents were lent as, as far as it is known, whether that is over.
	Nodes(ctx context.Context) (map[string]bool, error)
}

// Offer is an agent that could be lent now.
type Offer struct {
	Controller string
	Agent      string
	Pool       string
	Labels     []string
	OS         string // words, as the last cleanup told; "" = not known
	Arch       string // the same
	Profile    string // steps that do not apply to it
	Isolated   bool
	CleanSince time.Time
	Spare      int // agents of its pool that could be lent with the floor kept
	SpareThere int // and how many of these on its controller
	Root       loan.Root
	Ignore     state.Ignore // differences that do not matter on agents of its pool
}

// Name is how people name the agent.
func (o Offer) Name() string { return o.Controller + "/" + o.Agent }

// Ask is a request for one agent, for a node that is there already.
type Ask struct {
	Borrower string // "" = whose token it is
	Agent    string // controller/name
	Isolated bool
	For, TTL time.Duration
	Wait     time.Duration
	URL      string // root of the controller with the node, as the agent reaches it
	CA       string // what the agent is to trust there, in PEM; "" = what its Java trusts
	Node     string
	Secret   string
}

// Loan is how a loan is.
type Loan struct {
	ID      string
	State   loan.State
	Reason  string
	Cause   loan.Cause // of its end
	Account string     // what the borrowed program runs as
}
