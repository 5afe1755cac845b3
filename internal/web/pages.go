// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"html/template"
	"net/http"
	"strings"
)

// tokenCookie is the cookie that the API reads a token from.
const tokenCookie = "pitcrew_token"

// frame is what stands around the fleet.
type frame struct {
	Assets string
	Fleet  template.HTML
	Who    identity
	Signed bool // in, by the page's own cookie
	Fault  string
}

// page serves the whole page.
func (s *site) page(w http.ResponseWriter, r *http.Request) {
	who, found, err := s.look(r)
	switch {
	case errors.Is(err, errUnauthorized):
		http.Redirect(w, r, "login", http.StatusSeeOther)
	case errors.Is(err, errForbidden):
		s.refuse(w, r, http.StatusForbidden, forbidden)
	case err != nil:
		s.fail(w, r, err)
	default:
		_, noCookie := r.Cookie(tokenCookie)
		s.render(w, r, http.StatusOK, "page", frame{Assets: s.assets, Fleet: found.html, Who: who, Signed: noCookie == nil})
	}
}

// fragment serves what the script puts in the place of an older rendering.
func (s *site) fragment(w http.ResponseWriter, r *http.Request) {
	_, found, err := s.look(r)
	switch {
	case errors.Is(err, errUnauthorized):
		http.Error(w, "not signed in", http.StatusUnauthorized)
	case errors.Is(err, errForbidden):
		http.Error(w, forbidden, http.StatusForbidden)
	case err != nil:
		s.fail(w, r, err)
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(found.html)) // a browser that left needs no answer
	}
}

// look finds out who asks and, if they may look, what there is to see.
func (s *site) look(r *http.Request) (identity, *snapshot, error) {
	who, err := s.admit(r, r.Header.Get("Authorization"), r.Header.Get("Cookie"))
	if err != nil {
		return who, nil, err
	}
	found, err := s.fleet(r)
	return who, found, err
}

// admit finds out who has a token, and holds that it may look at the fleet: the rendering that they get may have been made with
// the rights of somebody else.
func (s *site) admit(r *http.Request, authorization, cookie string) (identity, error) {
	var who identity
	err := s.askAs(r, authorization, cookie, "/api/v1/whoami", &who)
	if err == nil {
		err = s.askAs(r, authorization, cookie, "/api/v1/version", &struct{}{}) // as little as a viewer can ask for
	}
	return who, err
}

// forbidden is said to whoever has a token for something else, such as the loans of one borrower.
const forbidden = "This token may not look at the fleet: it takes one with the role viewer."

// refuse asks for another token.
func (s *site) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	s.render(w, r, status, "login", frame{Assets: s.assets, Fault: why})
}

func (s *site) loginForm(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "login", frame{Assets: s.assets})
}

// maxForm bounds what the form may send.
const maxForm = 4 << 10

// login keeps a token in a cookie that no script can read. The API takes it for reading only.
func (s *site) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	token := strings.TrimSpace(r.PostFormValue("token"))
	err := errUnauthorized
	if token != "" {
		_, err = s.admit(r, "Bearer "+token, "")
	}
	switch {
	case errors.Is(err, errUnauthorized):
		s.refuse(w, r, http.StatusUnauthorized, "Nobody knows this token.")
		return
	case errors.Is(err, errForbidden):
		s.refuse(w, r, http.StatusForbidden, forbidden)
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	http.SetCookie(w, cookie(r, token, 0))
	http.Redirect(w, r, "./", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, cookie(r, "", -1))
	http.Redirect(w, r, "login", http.StatusSeeOther)
}

func cookie(r *http.Request, token string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure would keep it from a page that is served without TLS, on localhost
		Name: tokenCookie, Value: token, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

func (s *site) render(w http.ResponseWriter, r *http.Request, status int, name string, data frame) {
	var out strings.Builder
	if err := s.templates.ExecuteTemplate(&out, name, data); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(out.String())) // a browser that left needs no answer
}

func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		s.log.ErrorContext(r.Context(), "page could not be served", "path", r.URL.Path, "err", err)
	}
	http.Error(w, "the page could not be made; the daemon's log says why", http.StatusInternalServerError)
}
