// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Token is a right to use the API.
type Token struct {
	Name    string    `json:"name"`
	Role    string    `json:"role" enum:"borrower,viewer,operator,admin"`
	Created time.Time `json:"created"`
	// Borrower is whose loans a token of that role is for.
	Borrower string `json:"borrower,omitempty" doc:"Whose loans a token of the role borrower is for"`
}

// NewToken is a token that was just made, with the only sight of its secret that there will be.
type NewToken struct {
	Token
	Secret string `json:"secret" doc:"Cannot be had again"`
}

// TokenRequest says which token to make.
type TokenRequest struct {
	Name     string `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$" patternDescription:"letters, digits, blanks and ._@-, beginning with a letter or digit" doc:"Stands in the audit trail"`
	Role     string `json:"role" enum:"borrower,viewer,operator,admin" doc:"borrower asks for loans; viewer looks; operator gives orders; admin does everything"`
	Borrower string `json:"borrower,omitempty" maxLength:"63" doc:"Whose loans the token is for; with the role borrower, and with no other"`
}

type tokenInput struct {
	strict
	Body TokenRequest
}

type tokenPath struct {
	strict
	Name string `path:"name"`
}

func (s *Server) tokenRoutes() {
	register(s, operation{
		id: "listTokens", method: http.MethodGet, path: "/tokens", role: store.Admin, tag: "tokens",
		summary: "List tokens", detail: "Their secrets are not kept.",
	}, func(ctx context.Context, _ *none) (*answer[Page[Token]], error) {
		found, err := s.Store.Tokens(ctx)
		return answered(Page[Token]{Items: each(found, tokenOf)}, err)
	})
	register(s, operation{
		id: "createToken", method: http.MethodPost, path: "/tokens", role: store.Admin, tag: "tokens",
		summary: "Make a token", status: http.StatusCreated,
	}, s.createToken)
	register(s, operation{
		id: "revokeToken", method: http.MethodDelete, path: "/tokens/{name}", role: store.Admin, tag: "tokens",
		summary: "Revoke a token", detail: "At once; the last token of an admin is not revoked.", status: http.StatusNoContent,
	}, s.revokeToken)
	register(s, operation{
		id: "whoAmI", method: http.MethodGet, path: "/whoami", role: store.Borrower, tag: "tokens",
		summary: "Say who asks, and what they may do",
	}, func(ctx context.Context, _ *none) (*answer[Identity], error) { return answered(caller(ctx), nil) })
}

func tokenOf(t store.Token) Token {
	return Token{Name: t.Name, Role: string(t.Role), Created: utc(t.Created), Borrower: t.Borrower}
}

func (s *Server) createToken(ctx context.Context, in *tokenInput) (*answer[NewToken], error) {
	if in.Body.Name == anonymous || in.Body.Name == "pitcrew" {
		return nil, invalid("body.name", "the audit trail uses this name for somebody else", in.Body.Name)
	}
	if (in.Body.Borrower != "") != (in.Body.Role == string(store.Borrower)) {
		return nil, invalid("body.borrower", "a token of the role borrower names one, and no other does", in.Body.Borrower)
	}
	now := time.Now()
	e := hygiene.Event{Type: hygiene.EventTokenMade, At: now, Actor: caller(ctx).Name, Subject: in.Body.Name, Reason: "as " + in.Body.Role}
	secret, err := s.makeToken(ctx, in.Body, now, e)
	if err != nil {
		return nil, err
	}
	s.Logger.InfoContext(ctx, "token created", "token", in.Body.Name, "role", in.Body.Role, "actor", caller(ctx).Name)
	t := Token{Name: in.Body.Name, Role: in.Body.Role, Created: utc(now), Borrower: in.Body.Borrower}
	return answered(NewToken{Token: t, Secret: secret}, nil)
}

func (s *Server) makeToken(ctx context.Context, r TokenRequest, now time.Time, e hygiene.Event) (string, error) {
	if r.Borrower != "" {
		return s.Store.CreateBorrowerToken(ctx, r.Name, r.Borrower, now, e)
	}
	return s.Store.CreateToken(ctx, r.Name, store.Role(r.Role), now, e)
}

func (s *Server) revokeToken(ctx context.Context, in *tokenPath) (*struct{}, error) {
	found, err := s.Store.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	admins := slices.DeleteFunc(found, func(t store.Token) bool { return t.Role != store.Admin })
	if len(admins) == 1 && admins[0].Name == in.Name {
		return nil, refusal(http.StatusConflict, "it is the last token of an admin: make another one first")
	}
	e := hygiene.Event{Type: hygiene.EventTokenRevoked, At: time.Now(), Actor: caller(ctx).Name, Subject: in.Name}
	if err := s.Store.RevokeToken(ctx, in.Name, e); err != nil {
		return nil, err
	}
	s.Logger.InfoContext(ctx, "token revoked", "token", in.Name, "actor", caller(ctx).Name)
	return nil, nil
}
