// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Role is what the bearer of a token may do; each may do what those before it may.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // look
	Operator Role = "operator" // clean, hold, quarantine, pause
	Admin    Role = "admin"    // everything, tokens and backups included
	// Borrower may ask for loans, and see and return its own; it sees nothing else.
	Borrower Role = "borrower"
)

// Token is a right to use the API. Its secret is known to its bearer only.
type Token struct {
	Name    string
	Role    Role
	Created time.Time
	// Borrower is whose loans it is for, of the role [Borrower].
	Borrower string
}

// CreateToken stores a token, and the events that tell of it, and returns its secret, which cannot be
// had again. A name that is taken is [ErrExists].
func (s *Store) CreateToken(ctx context.Context, name string, role Role, now time.Time, events ...hygiene.Event) (secret string, err error) {
	return s.createToken(ctx, Token{Name: name, Role: role, Created: now}, events...)
}

// CreateBorrowerToken is CreateToken for a token of the role [Borrower].
func (s *Store) CreateBorrowerToken(ctx context.Context, name, borrower string, now time.Time, events ...hygiene.Event) (secret string, err error) {
	return s.createToken(ctx, Token{Name: name, Role: Borrower, Created: now, Borrower: borrower}, events...)
}

func (s *Store) createToken(ctx context.Context, token Token, events ...hygiene.Event) (secret string, err error) {
	// 260 random bits: nobody guesses them, so one fast hash is enough.
	secret = "pitcrew_" + rand.Text() + rand.Text()
	if err := s.keepToken(ctx, token, secret, events...); err != nil {
		return "", err
	}
	return secret, nil
}

// AdoptToken stores a token that another store made, and the events that tell of it. A name that is
// taken is [ErrExists].
func (s *Store) AdoptToken(ctx context.Context, name string, role Role, secret string, now time.Time, events ...hygiene.Event) error {
	return s.keepToken(ctx, Token{Name: name, Role: role, Created: now}, secret, events...)
}

func (s *Store) keepToken(ctx context.Context, token Token, secret string, events ...hygiene.Event) error {
	switch token.Role {
	case Viewer, Operator, Admin:
	case Borrower:
		if token.Borrower == "" {
			return fmt.Errorf("create token %s: the role %s needs the name of a borrower", token.Name, Borrower)
		}
	default:
		return fmt.Errorf("create token %s: unknown role %q", token.Name, token.Role)
	}
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		n, err := t.InsertToken(ctx, rows.InsertTokenParams{
			Name: token.Name, Role: string(token.Role), Hash: digest(secret), Created: millis(token.Created), Borrower: token.Borrower,
		})
		if err == nil && n == 0 {
			err = ErrExists
		}
		if err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("create token %s: %w", token.Name, err)
	}
	return nil
}

// Tokens returns all tokens, ordered by name.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	found, err := s.reads.Tokens(ctx)
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", explain(s.path, err))
	}
	return each(found, tokenOf)
}

// RevokeToken removes a token at once and stores the events that tell of it, or returns [ErrNotFound].
func (s *Store) RevokeToken(ctx context.Context, name string, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		n, err := t.DeleteToken(ctx, name)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("revoke token %s: %w", name, err)
	}
	return nil
}

// Authenticate returns the token with this secret, or [ErrUnauthorized]. It takes as long for a
// nearly right secret as for a wrong one.
func (s *Store) Authenticate(ctx context.Context, secret string) (Token, error) {
	found, err := s.reads.Tokens(ctx)
	if err != nil {
		return Token{}, fmt.Errorf("read tokens: %w", explain(s.path, err))
	}
	given, match := []byte(digest(secret)), -1
	for i, r := range found {
		if subtle.ConstantTimeCompare(given, []byte(r.Hash)) == 1 {
			match = i
		}
	}
	if match < 0 {
		return Token{}, ErrUnauthorized
	}
	return tokenOf(found[match])
}

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func tokenOf(r rows.Token) (Token, error) {
	return Token{Name: r.Name, Role: Role(r.Role), Created: moment(r.Created), Borrower: r.Borrower}, nil
}
