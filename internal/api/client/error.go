// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Error is an answer that says no (RFC 9457).
type Error struct {
	Status int     `json:"status"`
	Title  string  `json:"title"`
	Detail string  `json:"detail"`
	Faults []Fault `json:"errors"`
}

// Fault is one of the things that are wrong with a request.
type Fault struct {
	Message  string `json:"message"`
	Location string `json:"location"` // such as body.reason or query.labels, or what [Options.Field] makes of it
	Value    any    `json:"value"`
}

// Error says what the daemon said, all faults included.
func (e *Error) Error() string {
	if len(e.Faults) == 0 {
		return e.Detail
	}
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = strings.TrimPrefix(f.Location+": "+f.Message, ": ")
	}
	return strings.Join(lines, "; ")
}

// UnreachableError means that there was no answer: nobody listens there, or the connection was lost.
type UnreachableError struct {
	URL string
	Err error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("no answer from %s: %v", e.URL, e.Err) }

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// IsNotFound reports whether the daemon said that there is no such thing.
func IsNotFound(err error) bool { return has(err, http.StatusNotFound) }

// IsUnauthorized reports whether the daemon does not know the token, or wants one.
func IsUnauthorized(err error) bool { return has(err, http.StatusUnauthorized) }

// IsForbidden reports whether the token's role is not enough.
func IsForbidden(err error) bool { return has(err, http.StatusForbidden) }

// IsConflict reports whether the daemon refused because of how things are now.
func IsConflict(err error) bool { return has(err, http.StatusConflict) }

// IsUnreachable reports whether there was no answer.
func IsUnreachable(err error) bool {
	var e *UnreachableError
	return errors.As(err, &e)
}

// IsPassing reports whether a daemon that restarts, or a proxy before it, explains the error.
func IsPassing(err error) bool {
	return IsUnreachable(err) || has(err, http.StatusServiceUnavailable) || has(err, http.StatusBadGateway) || has(err, http.StatusGatewayTimeout)
}

func has(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}

// maxProblem bounds what is read of an answer that says no.
const maxProblem = 1 << 20

// refused reads the error out of an answer. Proxies in between answer in words of their own.
func (c *Client) refused(res *http.Response) error {
	e := &Error{}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil || json.Unmarshal(body, e) != nil {
		*e = Error{}
	}
	e.Status = res.StatusCode
	if e.Title == "" {
		e.Title = http.StatusText(res.StatusCode)
	}
	for i := range e.Faults {
		if c.field != nil {
			e.Faults[i].Location = c.field(e.Faults[i].Location)
		}
	}
	if e.Detail == "" {
		e.Detail = fmt.Sprintf("answered %d %s, without saying why", res.StatusCode, e.Title)
	}
	return e
}
