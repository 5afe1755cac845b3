// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// wire sends requests as they are told, without the manners of a client: no
// redirects, no cookies unless given, no retries.
type wire struct {
	root         string // without trailing slash
	user, secret string // "" for anonymous
	client       *http.Client
}

func newWire(root, user, secret string) *wire {
	return &wire{root: root, user: user, secret: secret, client: &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// as returns a wire to the same controller with other credentials.
func (w *wire) as(user, secret string) *wire {
	return &wire{root: w.root, user: user, secret: secret, client: w.client}
}

type request struct {
	method, path string // path is sent as it is, below the root
	header       map[string]string
	body         string
}

type answer struct {
	status int
	header http.Header
	body   string
}

// text is the answer's body for a message.
func (a answer) text() string { return strings.Join(strings.Fields(a.body), " ") }

// inQuery escapes what a strict container refuses in a query (RFC 3986, 3.4).
var inQuery = strings.NewReplacer("[", "%5B", "]", "%5D", "{", "%7B", "}", "%7D", "|", "%7C", " ", "%20", `"`, "%22")

func (w *wire) send(ctx context.Context, r request) (answer, error) {
	path, query, hasQuery := strings.Cut(r.path, "?")
	if hasQuery {
		path += "?" + inQuery.Replace(query)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, w.root+path, strings.NewReader(r.body))
	if err != nil {
		return answer{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept-Language", "en")
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if w.user != "" {
		req.SetBasicAuth(w.user, w.secret)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: string(body)}, nil
}
