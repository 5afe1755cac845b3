// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// errUnauthorized means that the API wants a token, or another one.
var errUnauthorized = errors.New("not signed in")

// errForbidden means that the token is for something else, such as the loans of one borrower.
var errForbidden = errors.New("may not look")

// captured is an answer of the API within the process.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the header to be sent.
func (c *captured) Header() http.Header { return c.header }

// WriteHeader notes the first status.
func (c *captured) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

// Write keeps the body.
func (c *captured) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	return c.body.Write(p)
}

// ask asks the API with the rights of whoever made the request r.
func (s *site) ask(r *http.Request, path string, out any) error {
	return s.askAs(r, r.Header.Get("Authorization"), r.Header.Get("Cookie"), path, out)
}

func (s *site) askAs(r *http.Request, authorization, cookie, path string, out any) error {
	q, err := http.NewRequestWithContext(r.Context(), http.MethodGet, path, nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	if authorization != "" {
		q.Header.Set("Authorization", authorization)
	}
	if cookie != "" {
		q.Header.Set("Cookie", cookie)
	}
	a := captured{header: http.Header{}}
	s.api.ServeHTTP(&a, q)
	switch {
	case a.status == http.StatusUnauthorized:
		return errUnauthorized
	case a.status == http.StatusForbidden:
		return errForbidden
	case a.status != http.StatusOK:
		return fmt.Errorf("ask for %s: answered %d: %s", path, a.status, a.body.Bytes())
	}
	if err := json.Unmarshal(a.body.Bytes(), out); err != nil {
		return fmt.Errorf("read answer for %s: %w", path, err)
	}
	return nil
}
