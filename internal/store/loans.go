// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// NewLoan is a loan that is asked for, with the secret of the borrower's node where the borrower made that.
type NewLoan struct {
	Loan   loan.Loan
	Secret string // "" = none; it is stored encrypted
}

// AddLoans stores new loans, all of them or none, and the events that tell of them.
func (s *Store) AddLoans(ctx context.Context, loans []NewLoan, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		for _, n := range loans {
			sealed, err := s.seal(n.Loan.ID, n.Secret)
			if err != nil {
				return err
			}
			n.Loan.Version = 1
			row, err := loanRow(n.Loan)
			if err != nil {
				return err
			}
			row.Sealed = sealed
			added, err := t.InsertLoan(ctx, row)
			if err == nil && added == 0 {
				err = ErrExists
			}
			if err != nil {
				return fmt.Errorf("loan %s: %w", n.Loan.ID, err)
			}
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("add loans: %w", err)
	}
	return nil
}

// SaveLoan stores a loan that nobody changed since it was read, and the events that tell of it; otherwise it is
// [ErrConflict]. The secret of one that is over, or that has handed it over, is wiped.
func (s *Store) SaveLoan(ctx context.Context, l loan.Loan, events ...hygiene.Event) error {
	return s.write(ctx, func(ctx context.Context, t *txn) error {
		if err := t.saveLoan(ctx, l); err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
}

func (t *txn) saveLoan(ctx context.Context, l loan.Loan) error {
	l.Version++
	row, err := loanRow(l)
	if err != nil {
		return err
	}
	n, err := t.UpdateLoan(ctx, rows.UpdateLoanParams{
		ID: row.ID, Borrower: row.Borrower, State: row.State, Controller: row.Controller, Agent: row.Agent,
		Requested: row.Requested, Ended: row.Ended, Owing: row.Owing, Body: row.Body, Version: row.Version,
	})
	if err == nil && n == 0 {
		err = ErrConflict
	}
	if err == nil && (l.Over() || l.State == loan.Attached || l.State == loan.Returning) {
		err = t.WipeSecret(ctx, l.ID)
	}
	if err != nil {
		return fmt.Errorf("save loan %s: %w", l.ID, err)
	}
	return nil
}

// Loan returns one loan, or [ErrNotFound].
func (s *Store) Loan(ctx context.Context, id string) (loan.Loan, error) {
	row, err := s.reads.Loan(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return loan.Loan{}, fmt.Errorf("loan %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return loan.Loan{}, fmt.Errorf("read loan %s: %w", id, explain(s.path, err))
	}
	return loanOf(row)
}

// OpenLoans returns all loans that are not over, or whose node is still at the borrower, the oldest first.
func (s *Store) OpenLoans(ctx context.Context) ([]loan.Loan, error) {
	found, err := s.reads.OpenLoans(ctx)
	if err != nil {
		return nil, fmt.Errorf("read loans: %w", explain(s.path, err))
	}
	return each(found, loanOf)
}

// LoanFilter says which loans a list has. The zero filter has all that are not over.
type LoanFilter struct {
	Borrower string // "" = of all
	All      bool   // those that are over as well
	Limit    int    // 0 = 100
}

// Loans returns loans, the newest first.
func (s *Store) Loans(ctx context.Context, f LoanFilter) ([]loan.Loan, error) {
	var q query
	if f.Borrower != "" {
		q.and("borrower = ?", f.Borrower)
	}
	if !f.All {
		q.where = append(q.where, "(ended = 0 OR owing = 1)")
	}
	text := q.text("SELECT body, version FROM loan", "requested DESC, id", limit(f.Limit))
	found, err := list(ctx, s, text, q.args, func(r *rows.Loan) []any { return []any{&r.Body, &r.Version} }, loanOf)
	if err != nil {
		return nil, fmt.Errorf("read loans: %w", err)
	}
	return found, nil
}

// LoanSecret returns the secret of the borrower's node, or [ErrNotFound] when the loan has none any more.
func (s *Store) LoanSecret(ctx context.Context, id string) (string, error) {
	sealed, err := s.reads.SealedSecret(ctx, id)
	if errors.Is(err, sql.ErrNoRows) || err == nil && sealed == "" {
		return "", fmt.Errorf("secret of loan %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("read secret of loan %s: %w", id, explain(s.path, err))
	}
	return s.unseal(id, sealed)
}

func loanRow(l loan.Loan) (rows.InsertLoanParams, error) {
	body, err := json.Marshal(l)
	if err != nil {
		return rows.InsertLoanParams{}, fmt.Errorf("loan %s: %w", l.ID, err)
	}
	owing := int64(0)
	if l.Node.Owing() {
		owing = 1
	}
	return rows.InsertLoanParams{
		ID: l.ID, Borrower: l.Borrower, State: string(l.State), Controller: l.Agent.Controller, Agent: l.Agent.Name,
		Requested: millis(l.Requested), Ended: millis(l.Ended), Owing: owing, Body: string(body), Version: l.Version,
	}, nil
}

func loanOf(r rows.Loan) (l loan.Loan, err error) {
	if err := json.Unmarshal([]byte(r.Body), &l); err != nil {
		return l, fmt.Errorf("read loan %s: %w", r.ID, err)
	}
	l.Version = r.Version
	return l, nil
}
