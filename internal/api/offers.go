// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// LoanOffer is an agent that could be lent now, with what is needed to choose, and no more.
type LoanOffer struct {
	Controller string    `json:"controller"`
	Agent      string    `json:"agent"`
	Pool       string    `json:"pool"`
	Labels     []string  `json:"labels" doc:"With its own name"`
	OS         string    `json:"os,omitempty" doc:"Words by which recipes know its system, from its last whole cleanup; absent: there is no report of one" example:"linux rhel rhel9"`
	Arch       string    `json:"arch,omitempty" example:"x86_64"`
	Profile    string    `json:"profile,omitempty" doc:"Steps of the recipe that do not apply to it, by the same report; absent: all do"`
	Isolated   bool      `json:"isolated" doc:"The borrowed program runs under an account of its own"`
	CleanSince time.Time `json:"clean_since,omitzero"`
	Spare      int       `json:"spare" doc:"How many agents of its pool could be lent now with the pool's capacity floor kept"`
	SpareThere int       `json:"spare_there" doc:"How many of these on its controller: each keeps a floor of its own"`

	Root         string   `json:"root" enum:"never,approved,reimage" doc:"Whether code that nobody has reviewed may ask for root on it"`
	ApprovedRefs []string `json:"approved_refs,omitempty" doc:"Patterns of the refs from which it may, with approved"`
	Ignore       []string `json:"ignore,omitempty" doc:"Differences that do not matter in a rehearsal on it, as KIND:PATTERN" example:"file:/var/cache/*"`
}

// PoolProgram is what cleans the agents of a pool.
type PoolProgram struct {
	Pool     string `json:"pool"`
	Recipe   string `json:"recipe"`
	Revision string `json:"revision" doc:"Content address of the compiled recipe"`
	Digest   string `json:"digest" doc:"SHA-256 of the program"`
	Program  string `json:"program" doc:"For a POSIX shell"`
}

type offersInput struct {
	strict
	Borrower string `query:"borrower" maxLength:"63" doc:"Who is to borrow, to be told now if there is no such borrower; the agents are the same for all"`
}

type poolProgramInput struct {
	strict
	Pool string `path:"pool" maxLength:"63"`
}

func (s *Server) offerRoutes() {
	register(s, operation{
		id: "listLoanOffers", method: http.MethodGet, path: "/loans/offers", role: store.Borrower, tag: "loans",
		summary: "List the agents that could be lent now", detail: "By controller and name. It is no promise: whoever asks first has them.",
	}, s.listOffers)
	register(s, operation{
		id: "getPoolProgram", method: http.MethodGet, path: "/pools/{pool}/program", role: store.Borrower, tag: "pools",
		summary: "Get the program that cleans the agents of a pool", detail: "Of a pool that lends its agents. Needs a token of a borrower, or an operator's.",
	}, s.poolProgram)
}

func (s *Server) listOffers(ctx context.Context, in *offersInput) (*answer[Page[LoanOffer]], error) {
	if in.Borrower != "" {
		if _, err := mayLend(caller(ctx), in.Borrower); err != nil {
			return nil, err
		}
	}
	desk, err := s.desk()
	if err != nil {
		return nil, err
	}
	page := Page[LoanOffer]{Items: []LoanOffer{}}
	offers, err := desk.Offers(ctx, in.Borrower)
	if wrong, ok := errors.AsType[*loan.RequestError](err); ok {
		return nil, invalid("query."+wrong.Field, wrong.Problem, in.Borrower)
	}
	if err != nil {
		return nil, err
	}
	for _, l := range offers {
		o := offerOf(l)
		if err := s.tellMachine(ctx, &o); err != nil {
			return nil, err
		}
		page.Items = append(page.Items, o)
	}
	return answered(page, nil)
}

func offerOf(l loan.Listing) LoanOffer {
	o := LoanOffer{
		Controller: l.Agent.Controller, Agent: l.Agent.Name, Pool: l.Pool, Labels: l.Labels, Isolated: l.Isolated, CleanSince: utc(l.CleanSince),
		Spare: l.Spare, SpareThere: l.SpareThere, Root: string(l.Root.Rule), ApprovedRefs: l.Root.Refs, Ignore: l.Ignore,
	}
	if o.Labels == nil {
		o.Labels = []string{}
	}
	if o.Root == "" {
		o.Root = string(loan.RootNever)
	}
	return o
}

// looksBack is how many cleanups are looked at for one of the whole recipe: verifications come in between.
const looksBack = 10

// tellMachine adds what the last whole cleanup has told of the machine.
func (s *Server) tellMachine(ctx context.Context, o *LoanOffer) error {
	id := hygiene.AgentID{Controller: hygiene.ControllerID(o.Controller), Name: o.Agent}
	attempts, err := s.Store.Attempts(ctx, store.AttemptFilter{Agent: id, Outcome: hygiene.Cleaned, Limit: looksBack})
	if err != nil {
		return err
	}
	for _, t := range attempts {
		if t.Need == hygiene.NeedVerify {
			continue
		}
		record, err := s.Store.Attempt(ctx, id, t.Number)
		if err != nil {
			return err
		}
		var report recipe.Report
		if len(record.Report) == 0 || json.Unmarshal(record.Report, &report) != nil {
			continue // of an earlier version, or purged
		}
		system := slices.Compact(strings.Fields(report.Machine.OS)) // of a version without a dot both forms are the same word
		o.OS, o.Arch, o.Profile = strings.Join(system, " "), report.Machine.Arch, profileOf(report)
		return nil
	}
	return nil
}

// profileOf lists the steps that do not apply to an agent. A depth that was not reached says nothing about the agent.
func profileOf(r recipe.Report) string {
	var without []string
	for _, step := range r.Steps {
		if step.Outcome == recipe.StepSkipped && !strings.HasPrefix(step.Reason, "runs from depth ") {
			without = append(without, step.Name)
		}
	}
	return strings.Join(without, ", ")
}

func (s *Server) poolProgram(ctx context.Context, in *poolProgramInput) (*answer[PoolProgram], error) {
	if _, err := mayLend(caller(ctx), ""); err != nil {
		return nil, err
	}
	for _, c := range s.controllers() {
		for _, p := range c.View().Pools {
			if p.Name != in.Pool || !p.Lends || p.Program == nil {
				continue
			}
			program := p.Program
			return answered(PoolProgram{
				Pool: p.Name, Recipe: program.Recipe, Revision: program.Revision, Digest: program.Digest, Program: string(program.Text),
			}, nil)
		}
	}
	return nil, refusal(http.StatusNotFound, "no pool that lends its agents is called "+in.Pool)
}
