// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer = 64 << 20  // of answers without a limit of their own
	maxDrain  = 256 << 10 // read to the end rather than close the connection
	maxPage   = 64 << 10  // of an error page, for its excerpt
	formType  = "application/x-www-form-urlencoded"
	xmlType   = "application/xml"
)

// request is one request. Its path is already escaped and below the controller's root.
type request struct {
	op, object  string
	method      string
	path, query string
	body        []byte
	contentType string
	limit       int64 // of the answer; 0 means maxAnswer
	paced       bool  // the rate limiter was asked before
	// accept, if not nil, tells of a status beside 2xx (and 302 for a POST) that it is a success, or of which kind an
	// error is where this operation knows better than kindOfStatus.
	accept func(status int) (ok bool, kind Kind, known bool)
}

// reply is the answer to a successful request.
type reply struct {
	status  int
	header  http.Header
	body    io.Reader // ends with ErrTooLarge at the limit
	url     *url.URL
	cookies []*http.Cookie
}

// do sends r and hands the answer to use, which may be nil. Errors are of type *Error. A POST that is refused for its
// crumb is sent once more with a new one.
func (c *Client) do(ctx context.Context, r request, use func(*reply) error) error {
	if r.method != http.MethodPost || !c.auth.needsCrumb() {
		_, err := c.send(ctx, r, nil, use)
		return err
	}
	used, err := c.auth.session(ctx, nil, c.newSession)
	if err != nil {
		return err
	}
	refused, err := c.send(ctx, r, used, use)
	if !refused {
		return err
	}
	if used, err = c.auth.session(ctx, used, c.newSession); err != nil {
		return err
	}
	_, err = c.send(ctx, r, used, use)
	return err
}

// send makes one exchange behind limiter and breaker and observes it. refused tells that the crumb was not accepted.
func (c *Client) send(ctx context.Context, r request, s *session, use func(*reply) error) (refused bool, err error) {
	if !r.paced {
		if err := c.pace(ctx, 1); err != nil {
			return false, c.failure(ctx, r, err, nil)
		}
	}
	err = c.breaker.do(r.op, r.object, func() error {
		call := Call{Op: r.op, Method: r.method, BytesOut: int64(len(r.body))}
		start := time.Now()
		refused, call.Err = c.exchange(ctx, r, s, use, &call)
		call.Duration = time.Since(start)
		if c.observe != nil {
			c.observe(call)
		}
		return call.Err
	})
	return refused, err
}

// pace waits until n more requests may be sent, at most as long as a request may take.
func (c *Client) pace(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.limiter.WaitN(ctx, min(n, c.limiter.Burst()))
}

func (c *Client) exchange(ctx context.Context, r request, s *session, use func(*reply) error, call *Call) (refused bool, err error) {
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no complete answer within %s: %w", c.timeout, context.DeadlineExceeded))
	defer cancel()
	cred, err := c.auth.credential(ctx)
	if err != nil {
		return false, c.failure(caller, r, err, nil)
	}
	req, err := c.newRequest(ctx, r, cred, s)
	if err != nil {
		return false, &Error{Op: r.op, Object: r.object, Kind: KindPermanent, Err: errors.New("address cannot be formed")}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false, c.failure(caller, r, bare(ctx, err), cred.secrets)
	}
	body := &counted{r: resp.Body}
	defer func() {
		_, _ = io.CopyN(io.Discard, body, maxDrain) // so that the connection can be used again
		_ = resp.Body.Close()
		call.BytesIn = body.n
	}()
	call.Status = resp.StatusCode
	if e := refusal(r, resp, body, cred.secrets); e != nil {
		return crumbRefused(e, resp.Header), e
	}
	if use == nil {
		return false, nil
	}
	err = use(&reply{
		status: resp.StatusCode, header: resp.Header, url: req.URL, cookies: resp.Cookies(),
		body: &bounded{r: body, left: cmpOr(r.limit, maxAnswer)},
	})
	return false, c.unusable(ctx, caller, r, resp, err, cred.secrets)
}

func cmpOr(n, otherwise int64) int64 {
	if n > 0 {
		return n
	}
	return otherwise
}

func (c *Client) newRequest(ctx context.Context, r request, cred credential, s *session) (*http.Request, error) {
	target := c.root.String() + r.path
	if r.query != "" {
		target += "?" + r.query
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if len(r.body) == 0 {
		req.Body, req.GetBody = http.NoBody, nil
	}
	// Texts such as why an item waits are translated otherwise.
	req.Header.Set("Accept-Language", "en")
	req.Header.Set("User-Agent", "pitcrew")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if cred.header != "" {
		req.Header.Set("Authorization", cred.header)
	}
	if s != nil {
		s.apply(req)
	}
	return req, nil
}

// refusal returns the error that an answer stands for, or nil for a success.
func refusal(r request, resp *http.Response, body io.Reader, secrets []string) *Error {
	kind := kindOfStatus(resp.StatusCode)
	ok := resp.StatusCode >= 200 && resp.StatusCode < 300
	if r.method == http.MethodPost && resp.StatusCode == http.StatusFound {
		ok = true
	}
	if r.accept != nil {
		if accepted, k, known := r.accept(resp.StatusCode); known {
			ok, kind = accepted, k
		}
	}
	e := &Error{Op: r.op, Object: r.object, Status: resp.StatusCode, Kind: kind}
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode >= 300 {
		if login := leadsToLogin(resp.Request.URL, to); login {
			e.Kind, e.Err = KindUnauthorized, errors.New("redirected to a login page")
			return e
		}
		if !ok {
			e.Err = fmt.Errorf("redirected to %s, which is not followed; is the address of the controller right?", place(resp.Request.URL, to))
			return e
		}
	}
	if ok {
		return nil
	}
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	e.Permission = cut(oneLine(resp.Header.Get("X-Required-Permission")), maxExcerpt)
	page, _ := io.ReadAll(io.LimitReader(body, maxPage)) // an excerpt of half a page is still one
	e.Excerpt = excerpt(resp.Header.Get("Content-Type"), page, secrets)
	if x := resp.Header.Get("X-Error"); x != "" {
		e.Excerpt = excerpt("", []byte(x), secrets)
	}
	return e
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
	if err == io.EOF {
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
	if looksLikeHTML(resp.Header.Get("Content-Type"), "") {
		e.Kind, e.Err = KindPermanent, errors.New("answered with a page instead of data; is the address of the controller right, or a login in front of it?")
	}
	return e
}

// bare takes the address off an error of net/http, for the operation says it better, and puts in what ended the context.
func bare(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
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

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bounded fails with ErrTooLarge where io.LimitReader would pretend an end.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		if n, err := b.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, ErrTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
