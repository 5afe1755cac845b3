// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Loans returns loans, the newest first: those that are not over, or all. An empty borrower means all that the token may see.
func (c *Client) Loans(ctx context.Context, borrower string, all bool, limit int) ([]api.Loan, error) {
	q := url.Values{"all": {strconv.FormatBool(all)}}
	if borrower != "" {
		q.Set("borrower", borrower)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return list[api.Loan](ctx, c, "/loans", q)
}

// Loan returns one loan.
func (c *Client) Loan(ctx context.Context, id string) (api.Loan, error) {
	return get[api.Loan](ctx, c, where("loans", id), nil)
}

// LoanOffers returns the agents that could be lent now. A borrower that is named and that there is not is an error.
func (c *Client) LoanOffers(ctx context.Context, borrower string) ([]api.LoanOffer, error) {
	q := url.Values{}
	if borrower != "" {
		q.Set("borrower", borrower)
	}
	return list[api.LoanOffer](ctx, c, "/loans/offers", q)
}

// PoolProgram returns the program that cleans the agents of a pool that lends them.
func (c *Client) PoolProgram(ctx context.Context, pool string) (api.PoolProgram, error) {
	return get[api.PoolProgram](ctx, c, where("pools", pool, "program"), nil)
}

// RequestLoans asks for agents.
func (c *Client) RequestLoans(ctx context.Context, r api.LoanRequest) ([]api.Loan, error) {
	var out api.Page[api.Loan]
	err := c.call(ctx, http.MethodPost, "/loans", nil, r, &out)
	return out.Items, err
}

// ReturnLoan gives an agent back.
func (c *Client) ReturnLoan(ctx context.Context, id, reason string) (api.Loan, error) {
	var out api.Loan
	err := c.call(ctx, http.MethodPost, where("loans", id, "return"), nil, api.Order{Reason: reason}, &out)
	return out, err
}

// RenewLoan gives a sign of life.
func (c *Client) RenewLoan(ctx context.Context, id string, r api.LoanRenewal) (api.Loan, error) {
	var out api.Loan
	err := c.call(ctx, http.MethodPost, where("loans", id, "renew"), nil, r, &out)
	return out, err
}
