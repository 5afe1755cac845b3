// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// authenticator puts credentials on requests. With an API token that is all
// (jenkins.security.ApiCrumbExclusion), and cookies are then harmful: a session that is logged in takes the exemption
// away (jenkins.security.BasicHeaderProcessor#authenticationIsRequired). Without a token each POST needs a crumb,
// which is bound to the session in which it was issued (hudson.security.csrf.DefaultCrumbIssuer); that holds for an
// unsecured controller too.
type authenticator struct {
	user            string
	token, password Secret

	// making holds a token while a session is looked up or made: of many requests that find none, one fetches it, and
	// the others wait for it or for their context.
	making  chan struct{}
	current *session // nil until needed; guarded by making
}

// session is a crumb with the cookies it belongs to. It does not change once it is made.
type session struct {
	jar   http.CookieJar
	field string // name of the header; empty where the controller issues no crumbs
	crumb string
}

// credential is what one request carries.
type credential struct {
	header  string // value of Authorization, empty for anonymous
	secrets []string
}

// secretError says that the caller has no secret to give; the controller was not asked.
type secretError struct {
	what string
	err  error
}

func (e *secretError) Error() string { return "read " + e.what + ": " + e.err.Error() }
func (e *secretError) Unwrap() error { return e.err }

func (a *authenticator) credential(ctx context.Context) (credential, error) {
	get, what := a.token, "api token"
	if get == nil {
		get, what = a.password, "password"
	}
	if get == nil {
		return credential{}, nil
	}
	secret, err := get(ctx)
	if err != nil {
		return credential{}, &secretError{what: what, err: err}
	}
	secret = strings.TrimRight(secret, "\r\n") // files end with a newline
	pair := base64.StdEncoding.EncodeToString([]byte(a.user + ":" + secret))
	return credential{header: "Basic " + pair, secrets: []string{pair, secret, url.QueryEscape(secret)}}, nil
}

// anonymous reports whether requests carry nothing.
func (a *authenticator) anonymous() bool { return a.token == nil && a.password == nil }

// needsCrumb reports whether a POST must carry crumb and session.
func (a *authenticator) needsCrumb() bool { return a.token == nil }

// session returns the session for the next POST, made by create if there is none or if the present one is stale.
func (a *authenticator) session(ctx context.Context, stale *session, create func(context.Context) (*session, error)) (*session, error) {
	select {
	case a.making <- struct{}{}:
		defer func() { <-a.making }()
	case <-ctx.Done():
		return nil, &Error{Op: "read crumb", Kind: KindCancelled, Err: context.Cause(ctx)}
	}
	if a.current != nil && a.current != stale {
		return a.current, nil
	}
	s, err := create(ctx)
	if err != nil {
		return nil, err
	}
	a.current = s
	return s, nil
}

func (s *session) apply(req *http.Request) {
	for _, c := range s.jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	if s.field != "" {
		req.Header.Set(s.field, s.crumb)
	}
}

// newSession asks for a crumb: one request. A controller without crumb issuer answers 404.
func (c *Client) newSession(ctx context.Context) (*session, error) {
	s := &session{}
	s.jar, _ = cookiejar.New(nil) // never fails
	err := c.do(ctx, request{op: "read crumb", method: http.MethodGet, path: "/crumbIssuer/api/json", paced: true}, func(r *reply) error {
		var wire struct{ Crumb, CrumbRequestField string }
		if err := json.NewDecoder(r.body).Decode(&wire); err != nil {
			return err
		}
		s.jar.SetCookies(r.url, r.cookies)
		s.field, s.crumb = wire.CrumbRequestField, wire.Crumb
		return nil
	})
	if err != nil && !IsNotFound(err) {
		return nil, err
	}
	return s, nil
}

// crumbRefused reports whether a 403 is about the crumb rather than about a permission. Jenkins' own text is not
// translated, but a proxy may replace the page; a refusal for lack of permission always names the user.
func crumbRefused(e *Error, header http.Header) bool {
	if e.Status != http.StatusForbidden {
		return false
	}
	return strings.Contains(e.Excerpt, "crumb") ||
		header.Get("X-Required-Permission") == "" && header.Get("X-You-Are-Authenticated-As") == ""
}
