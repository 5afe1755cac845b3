// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// LoanDesk is where agents are lent.
type LoanDesk interface {
	Request(ctx context.Context, r loan.Request, secret string) ([]loan.Loan, error)
	Return(ctx context.Context, id, actor, reason string) (loan.Loan, error)
	// Offers lists the agents that could be lent now. It is an error if there is no such borrower; "" is nobody in particular.
	Offers(ctx context.Context, borrower string) ([]loan.Listing, error)
	Renew(ctx context.Context, id, actor string, longer time.Duration, idle *bool) (loan.Loan, error)
	// Waits says what a loan without an agent waits for, "" if nobody knows.
	Waits(id string) string
}

type loanListInput struct {
	strict
	Borrower string `query:"borrower" doc:"Of this borrower only"`
	All      bool   `query:"all" doc:"Those that are over as well"`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// LoanPath names a loan.
type LoanPath struct {
	Loan string `path:"loan" maxLength:"64"`
}

type loanPathInput struct {
	strict
	LoanPath
}

type loanRequestInput struct {
	strict
	Body LoanRequest
}

type loanReturnInput struct {
	strict
	LoanPath
	Body *Order // optional
}

type loanRenewInput struct {
	strict
	LoanPath
	Body *LoanRenewal // optional
}

func (s *Server) loanRoutes() {
	register(s, operation{
		id: "listLoans", method: http.MethodGet, path: "/loans", role: store.Borrower, tag: "loans",
		summary: "List loans", detail: "The newest first. A token of a borrower sees its own.",
	}, s.listLoans)
	register(s, operation{
		id: "requestLoans", method: http.MethodPost, path: "/loans", role: store.Borrower, tag: "loans", status: http.StatusCreated,
		summary: "Ask for agents", detail: "One loan for each. Needs a token of the borrower, or an operator's.",
	}, s.requestLoans)
	register(s, operation{
		id: "getLoan", method: http.MethodGet, path: "/loans/{loan}", role: store.Borrower, tag: "loans",
		summary: "Show a loan",
	}, func(ctx context.Context, in *loanPathInput) (*answer[Loan], error) {
		l, err := s.loan(ctx, in.Loan)
		return answered(s.loanOf(&l), err)
	})
	register(s, operation{
		id: "returnLoan", method: http.MethodPost, path: "/loans/{loan}/return", role: store.Borrower, tag: "loans",
		summary: "Give an agent back", detail: "Or take a loan that waits out of the queue. One that is over stays as it is.",
	}, s.returnLoan)
	register(s, operation{
		id: "renewLoan", method: http.MethodPost, path: "/loans/{loan}/renew", role: store.Borrower, tag: "loans",
		summary: "Give a sign of life, or let a loan last longer", detail: "No longer than the pool allows.",
	}, s.renewLoan)
}

// desk is where loans are dealt with, or why there is none.
func (s *Server) desk() (LoanDesk, error) {
	if s.Lend == nil {
		return nil, refusal(http.StatusConflict, "this daemon lends nothing")
	}
	return s.Lend, nil
}

// mayLend refuses who may look only, and a borrower that names another. It returns whom the caller acts for, "" = anybody.
func mayLend(who Identity, borrower string) (string, error) {
	switch {
	case who.Role == string(store.Viewer):
		return "", refusal(http.StatusForbidden, "this needs a token of the borrower, or the role operator; "+who.Name+" has the role viewer")
	case who.Role == string(store.Borrower) && borrower != "" && borrower != who.Borrower:
		return "", refusal(http.StatusForbidden, who.Name+" may ask for loans of "+who.Borrower+" only")
	case who.Role == string(store.Borrower):
		return who.Borrower, nil
	}
	return borrower, nil
}

// loan reads one that the caller may see.
func (s *Server) loan(ctx context.Context, id string) (loan.Loan, error) {
	l, err := s.Store.Loan(ctx, id)
	if who := caller(ctx); err == nil && who.Role == string(store.Borrower) && l.Borrower != who.Borrower {
		return loan.Loan{}, store.ErrNotFound
	}
	return l, err
}

func (s *Server) listLoans(ctx context.Context, in *loanListInput) (*answer[Page[Loan]], error) {
	f := store.LoanFilter{Borrower: in.Borrower, All: in.All, Limit: in.Limit}
	if who := caller(ctx); who.Role == string(store.Borrower) {
		if in.Borrower != "" && in.Borrower != who.Borrower {
			return answered(Page[Loan]{Items: []Loan{}}, nil)
		}
		f.Borrower = who.Borrower
	}
	found, err := s.Store.Loans(ctx, f)
	return answered(Page[Loan]{Items: each(found, func(l loan.Loan) Loan { return s.loanOf(&l) })}, err)
}

func (s *Server) requestLoans(ctx context.Context, in *loanRequestInput) (*answer[Page[Loan]], error) {
	who, b := caller(ctx), &in.Body
	borrower, err := mayLend(who, b.Borrower)
	if err != nil {
		return nil, err
	}
	desk, err := s.desk()
	if err != nil {
		return nil, err
	}
	if b.Secret != "" && !who.private {
		return nil, refusal(http.StatusForbidden, "a secret is taken over TLS only: set api.tls in the configuration of pitcrew, and use https")
	}
	r := loan.Request{
		Borrower: borrower, By: who.Name, Count: max(b.Count, 1), Node: b.Node,
		Want: loan.Want{Labels: b.Want.Labels, Pool: b.Want.Pool, Agent: b.Want.Agent, Isolated: b.Want.Isolated},
		To:   loan.Target{Kind: loan.Kind(b.To.Kind), URL: b.To.URL, CA: b.To.CA, Labels: b.To.Labels, Key: b.To.Key},
	}
	if r.To.Kind == "" {
		r.To.Kind = loan.ToController
	}
	for _, d := range []struct {
		field, text string
		to          *time.Duration
	}{
		{"for", b.For, &r.Lease.Term}, {"ttl", b.TTL, &r.Lease.TTL}, {"idle", b.Idle, &r.Lease.Idle}, {"want.wait", b.Want.Wait, &r.Want.Patience},
	} {
		if *d.to, err = timeOf("body."+d.field, d.text); err != nil {
			return nil, err
		}
	}
	loans, err := desk.Request(ctx, r, b.Secret)
	if wrong, ok := errors.AsType[*loan.RequestError](err); ok {
		return nil, invalid("body."+wrong.Field, wrong.Problem, nil)
	}
	return answered(Page[Loan]{Items: each(loans, func(l loan.Loan) Loan { return s.loanOf(&l) })}, err)
}

// timeOf reads a time; "" is none.
func timeOf(location, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, invalid(location, "want a time like 90m or 36h, greater than 0", text)
	}
	return d, nil
}

func (s *Server) returnLoan(ctx context.Context, in *loanReturnInput) (*answer[Loan], error) {
	return s.dealWith(ctx, in.Loan, func(desk LoanDesk, actor string) (loan.Loan, error) {
		reason := in.Body.reason()
		if reason == "" {
			reason = "given back by " + actor
		}
		return desk.Return(ctx, in.Loan, actor, reason)
	})
}

func (s *Server) renewLoan(ctx context.Context, in *loanRenewInput) (*answer[Loan], error) {
	var what LoanRenewal
	if in.Body != nil {
		what = *in.Body
	}
	longer, err := timeOf("body.for", what.For)
	if err != nil {
		return nil, err
	}
	return s.dealWith(ctx, in.Loan, func(desk LoanDesk, actor string) (loan.Loan, error) {
		return desk.Renew(ctx, in.Loan, actor, longer, what.Idle)
	})
}

// dealWith does something to a loan that the caller may change.
func (s *Server) dealWith(ctx context.Context, id string, f func(LoanDesk, string) (loan.Loan, error)) (*answer[Loan], error) {
	if _, err := mayLend(caller(ctx), ""); err != nil {
		return nil, err
	}
	desk, err := s.desk()
	if err != nil {
		return nil, err
	}
	if _, err := s.loan(ctx, id); err != nil {
		return nil, err
	}
	l, err := f(desk, caller(ctx).Name)
	return answered(s.loanOf(&l), err)
}
