// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	maxAnswer    int64 = 64 << 20  // of answers without a limit of their own
	maxDrain           = 256 << 10 // read to the end rather than close the connection
	maxAnnounced       = 1 << 20   // memory that is made ready for an answer before any of it is there

	formType = "application/x-www-form-urlencoded"
	// Jenkins reads a job's document as text, which is Latin-1 unless the header says otherwise, whatever the document says
	// (hudson.model.AbstractItem#doConfigDotXml, jakarta.servlet.ServletRequest#getReader).
	xmlType = "application/xml; charset=utf-8"
)

// request is one request. Its path is already escaped and below the controller's root.
type request struct {
	op, object  string
	method      string
	path, query string
	body        []byte
	more        [][]byte // follows body; apart, so that a large file is not copied for each request
	contentType string
	limit       int64 // of the answer; default maxAnswer
	paced       bool  // the rate limiter was asked before
	private     bool  // the answer may hold a secret that is not known here: no error quotes it
	// secrets were sent, beside the credentials: no error repeats them, though the answer may.
	secrets []string
	// also are statuses of success beside 2xx, and 302 for a POST; kinds are errors that this operation knows better
	// than kindOfStatus, and go before all.
	also  []int
	kinds map[int]Kind
}

// reply is the answer to a successful request.
type reply struct {
	status  int
	header  http.Header
	body    io.Reader // ends with ErrTooLarge at the limit
	length  int64     // that the header announces, as far as that is to be believed; 0 if it does not
	url     *url.URL
	cookies []*http.Cookie
	clock   Clock
	// abandoned is set by who has read enough: the rest is not worth what it costs the controller.
	abandoned bool
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
	cred, err := c.credential(ctx)
	if err != nil { // which is not the controller's fault
		return false, c.failure(ctx, r, err, nil)
	}
	err = c.breaker.do(r.op, r.object, func() error {
		call := Call{Op: r.op, Method: r.method, BytesOut: r.size()}
		start := time.Now()
		refused, call.Err = c.exchange(ctx, r, cred, s, use, &call)
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
	if err := ctx.Err(); err != nil {
		return err
	}
	n = min(n, c.limiter.Burst())
	if c.limiter.AllowN(time.Now(), n) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.limiter.WaitN(ctx, n)
}

// credential gets what the request is to carry, in the time of a request.
func (c *Client) credential(ctx context.Context) (credential, error) {
	if c.auth.anonymous() {
		return credential{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.auth.credential(ctx)
}

func (c *Client) exchange(ctx context.Context, r request, cred credential, s *session, use func(*reply) error, call *Call) (refused bool, err error) {
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, tooLate(c.timeout))
	defer cancel()
	secrets := slices.Concat(cred.secrets, r.secrets)
	req, err := c.newRequest(ctx, r, cred, s)
	if err != nil {
		return false, &Error{Op: r.op, Object: r.object, Kind: KindPermanent, Err: errors.New("address cannot be formed")}
	}
	clock := Clock{Sent: time.Now()}
	resp, err := c.http.Do(req)
	if err != nil {
		return false, c.failure(caller, r, bare(ctx, err), secrets)
	}
	clock.Received = time.Now()
	clock.Date, _ = http.ParseTime(resp.Header.Get("Date")) // zero if it has none
	resp.Request = req                                      // a transport of the caller's may leave it out
	body := &counted{r: resp.Body}
	answer := &reply{status: resp.StatusCode, header: resp.Header, url: req.URL, cookies: resp.Cookies(), clock: clock}
	if resp.ContentLength > 0 && resp.ContentLength <= maxAnnounced {
		answer.length = resp.ContentLength
	}
	answer.body = &bounded{r: body, left: cmp.Or(r.limit, maxAnswer)}
	defer func() {
		if err == nil && !answer.abandoned {
			_, _ = io.CopyN(io.Discard, body, maxDrain) // so that the connection can be used again
		}
		_ = resp.Body.Close()
		call.BytesIn = body.n
	}()
	call.Status = resp.StatusCode
	if e := refusal(r, resp, body, secrets); e != nil {
		return crumbRefused(e, resp.Header), e
	}
	if use == nil {
		return false, nil
	}
	err = use(answer)
	return false, c.unusable(ctx, caller, r, resp, err, secrets)
}

// tooLate is the cause of the end of an exchange that took so long; a text is made of it only where it is told.
type tooLate time.Duration

func (d tooLate) Error() string {
	return fmt.Sprintf("no complete answer within %s: %v", time.Duration(d), context.DeadlineExceeded)
}

func (d tooLate) Unwrap() error { return context.DeadlineExceeded }

// size is the number of bytes of the whole body.
func (r *request) size() int64 {
	n := len(r.body)
	for _, b := range r.more {
		n += len(b)
	}
	return int64(n)
}

// reader reads the whole body.
func (r *request) reader() io.Reader {
	parts := []io.Reader{bytes.NewReader(r.body)}
	for _, b := range r.more {
		parts = append(parts, bytes.NewReader(b))
	}
	return io.MultiReader(parts...)
}

// Headers of requests. They are shared by all of them: nobody changes one in place.
var (
	// Texts such as why an item waits are translated otherwise.
	inEnglish = []string{"en"}
	byPitcrew = []string{"pitcrew"}
	asForm    = []string{formType}
	asXML     = []string{xmlType}
)

func (c *Client) newRequest(ctx context.Context, r request, cred credential, s *session) (*http.Request, error) {
	target := c.address + r.path
	if r.query != "" {
		target += "?" + r.query
	}
	var body io.Reader
	if len(r.body) > 0 {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	switch {
	case len(r.body) == 0:
		req.Body = http.NoBody
	case len(r.more) > 0:
		req.ContentLength = r.size()
		// Asked for when a connection turned out to be closed before anything was written: a POST is not sent again
		// after that (net/http.Transport).
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(r.reader()), nil }
		req.Body, _ = req.GetBody()
	}
	req.Header["Accept-Language"], req.Header["User-Agent"] = inEnglish, byPitcrew
	switch r.contentType {
	case "":
	case formType:
		req.Header["Content-Type"] = asForm
	case xmlType:
		req.Header["Content-Type"] = asXML
	default:
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
