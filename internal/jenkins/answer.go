// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPage is what is read of an error page, for its excerpt.
const maxPage = 64 << 10

// refusal returns the error that an answer stands for, or nil for a success.
func refusal(r request, resp *http.Response, body io.Reader, secrets []string) *Error {
	kind, special := r.kinds[resp.StatusCode]
	if !special {
		kind = kindOfStatus(resp.StatusCode)
	}
	ok := !special && r.succeeds(resp.StatusCode)
	if ok && resp.StatusCode < 300 {
		return nil
	}
	e := &Error{Op: r.op, Object: r.object, Status: resp.StatusCode, Kind: kind}
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode >= 300 {
		if leadsToLogin(resp.Request.URL, to) {
			e.Kind, e.Err = KindUnauthorized, errors.New("redirected to a login page")
			return e
		}
		if !ok {
			e.Err = redacted(fmt.Errorf("redirected to %s, which is not followed; is the address of the controller right?", place(resp.Request.URL, to)), secrets)
			return e
		}
	}
	if ok {
		return nil
	}
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	e.Permission = excerpt("", []byte(resp.Header.Get("X-Required-Permission")), secrets)
	if r.private {
		return e
	}
	page, _ := io.ReadAll(io.LimitReader(body, maxPage)) // an excerpt of half a page is still one
	e.Excerpt = excerpt(resp.Header.Get("Content-Type"), page, secrets)
	if x := resp.Header.Get("X-Error"); x != "" {
		e.Excerpt = excerpt("", []byte(x), secrets)
	}
	return e
}

func (r *request) succeeds(status int) bool {
	return status >= 200 && status < 300 || status == http.StatusFound && r.method == http.MethodPost || slices.Contains(r.also, status)
}

// leadsToLogin recognises the redirects of single sign-on, which look like the success of a POST.
func leadsToLogin(from *url.URL, location string) bool {
	to, err := from.Parse(location)
	if err != nil {
		return false
	}
	for _, page := range []string{"/login", "/securityRealm"} {
		before, _, found := strings.Cut(to.Path+"/", page+"/")
		if found && !strings.Contains(before+"/", "/job/") && !strings.Contains(before+"/", "/computer/") {
			return true // not an agent or a job of that name
		}
	}
	return false
}

// place shows a redirect's target without its query, which may carry tickets.
func place(from *url.URL, location string) string {
	to, err := from.Parse(location)
	if err != nil {
		return "an unreadable address"
	}
	return (&url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}).String()
}

// retryAfter reads both forms of the header; anything else is 0.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
		return time.Duration(max(0, min(s, 86400))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, min(at.Sub(now), 24*time.Hour))
	}
	return 0
}

// failure is the error of an exchange without an answer.
func (c *Client) failure(caller context.Context, r request, err error, secrets []string) *Error {
	e := &Error{Op: r.op, Object: r.object, Kind: KindRetryable, Err: redacted(err, secrets)}
	if caller.Err() != nil {
		e.Kind, e.Err = KindCancelled, context.Cause(caller)
	}
	return e
}

// unusable is the error of a success whose body could not be used.
func (c *Client) unusable(ctx, caller context.Context, r request, resp *http.Response, err error, secrets []string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // an empty body, to those who expect a value
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	e = c.failure(caller, r, bare(ctx, err), secrets)
	e.Status = resp.StatusCode
	if caller.Err() != nil {
		return e
	}
	if ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) {
		e.Status = 0 // cut off in the middle: as good as no answer
	}
	if errors.Is(err, ErrTooLarge) {
		e.Kind = KindPermanent
	}
	if isHTML(resp.Header.Get("Content-Type")) {
		e.Kind, e.Err = KindPermanent, errors.New("answered with a page instead of data; is the address of the controller right, or a login in front of it?")
	}
	return e
}

// bare takes the address off an error of net/http, for the operation says it better, and puts in what ended the context.
func bare(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// redacted hides secrets that a proxy or a transport may have repeated.
func redacted(err error, secrets []string) error {
	text := err.Error()
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			return errors.New(oneLine(strings.ReplaceAll(text, s, "[redacted]")))
		}
	}
	return err
}
