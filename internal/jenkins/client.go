// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Defaults of [Options].
const (
	defaultTimeout  = 30 * time.Second // Jenkins' queue lock can delay a POST for many seconds
	defaultRate     = 50               // requests per second
	defaultMaxConns = 8
)

// Secret returns a secret. It is called at each use, so that a rotated secret is taken up; the caller caches it. Its
// error must not hold the secret.
type Secret func(context.Context) (string, error)

// Options say where a controller is and how to treat it. URL is required, and at most one of Token and Password is set.
type Options struct {
	Name string // for logs; default: the host of URL
	URL  string // the root of the controller, with its path prefix and without credentials
	User string

	Token    Secret // API token: no crumb and no session needed
	Password Secret // needs a crumb bound to a session for each POST, which is fetched when needed
	TLS      TLSOptions

	Transport         http.RoundTripper // default: one of its own. Excludes TLS
	RequestTimeout    time.Duration     // of one request with its answer; default 30 s
	RequestsPerSecond float64           // default 50; negative: no limit
	Burst             int               // default: two seconds' worth
	MaxConns          int               // connections to the controller; default 8

	// Advertised are the labels by which jobs choose agents: when one of them is removed, the scheduler is asked whether it
	// has noticed. Nil: every label.
	Advertised []string

	Observe func(Call) // told of every exchange when it is over, from many goroutines; may be nil
	Logger  *slog.Logger
}

// Call is one exchange with the controller, for metrics.
type Call struct {
	Op       string // a constant such as "read fleet"
	Method   string
	Status   int // 0 without an answer
	Duration time.Duration
	BytesOut int64 // body sent
	BytesIn  int64 // body received, decompressed
	Err      error
}

// Client is a controller. It is safe for concurrent use.
type Client struct {
	root    *url.URL // path without trailing slash
	address string   // its text
	auth    *authenticator
	http    *http.Client
	timeout time.Duration
	limiter *rate.Limiter
	breaker *breaker
	observe func(Call)
	labels  []string // advertised ones, nil for all
	logger  *slog.Logger
	fleet   fleetMemory
}

// New returns a client. It makes no request.
func New(o Options) (*Client, error) {
	root, err := parseRoot(o.URL)
	if err != nil {
		return nil, fmt.Errorf("controller url: %w", err)
	}
	if o.Token != nil && o.Password != nil {
		return nil, errors.New("give an api token or a password, not both")
	}
	if (o.Token != nil || o.Password != nil) && (o.User == "" || strings.Contains(o.User, ":")) {
		return nil, errors.New("a user name without colon is needed with an api token or password")
	}
	o = o.withDefaults(root)
	hc := &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if o.Transport == nil {
		if hc.Transport, err = NewTransport(o.TLS, o.MaxConns); err != nil {
			return nil, err
		}
	} else if !o.TLS.isZero() {
		return nil, errors.New("tls options have no effect on a given transport")
	}
	c := &Client{
		root: root, address: root.String(), http: hc, timeout: o.RequestTimeout,
		limiter: rate.NewLimiter(rate.Limit(o.RequestsPerSecond), o.Burst),
		breaker: newBreaker(o.Name, o.Logger), observe: o.Observe, logger: o.Logger, labels: o.Advertised,
	}
	if o.RequestsPerSecond < 0 {
		c.limiter.SetLimit(rate.Inf)
	}
	c.auth = &authenticator{user: o.User, token: o.Token, password: o.Password, making: make(chan struct{}, 1)}
	return c, nil
}

func (o Options) withDefaults(root *url.URL) Options {
	if o.Name == "" {
		o.Name = root.Host
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = defaultTimeout
	}
	if o.RequestsPerSecond == 0 {
		o.RequestsPerSecond = defaultRate
	}
	if o.Burst <= 0 {
		o.Burst = max(1, int(2*o.RequestsPerSecond))
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultMaxConns
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// parseRoot accepts http and https addresses without credentials, query and fragment. Errors do not repeat the address,
// which may hold a password.
func parseRoot(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("is not an address")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case u.Host == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not hold credentials; give user and token apart")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must end with the path")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// Close drops idle connections. Requests under way are not touched.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL returns the root of the controller, without trailing slash.
func (c *Client) URL() string { return c.address }
