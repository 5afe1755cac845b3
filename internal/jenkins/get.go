// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Names of objects in errors.
func agentObject(agent string) string { return "agent " + strconv.Quote(agent) }
func jobObject(job string) string     { return "job " + strconv.Quote(job) }
func buildObject(job string, n int64) string {
	return fmt.Sprintf("build %s #%d", strconv.Quote(job), n)
}

// invalid is the error of a call that was refused before any request.
func invalid(op, object string, err error) *Error {
	return &Error{Op: op, Object: object, Kind: KindPermanent, Err: err}
}

// inTree escapes what may not stand in a query (RFC 3986): Jetty tolerates it, Tomcat answers 400.
var inTree = strings.NewReplacer("[", "%5B", "]", "%5D", "{", "%7B", "}", "%7D")

// tree returns the query that selects fields.
func tree(fields string) string { return "tree=" + inTree.Replace(fields) }

// getJSON reads one object into v: one request.
func (c *Client) getJSON(ctx context.Context, op, object, path, query string, v any) (http.Header, error) {
	var header http.Header
	err := c.do(ctx, request{op: op, object: object, method: http.MethodGet, path: path, query: query}, func(r *reply) error {
		header = r.header
		return readJSON(r, v)
	})
	return header, err
}

// documentSize is what most documents stay below whose length is not announced: the configurations of agents, and of jobs
// with small programs.
const documentSize = 4 << 10

// getBytes reads a document: one request. paced: the rate limiter was asked before.
func (c *Client) getBytes(ctx context.Context, op, object, path string, paced bool) ([]byte, error) {
	var doc []byte
	err := c.do(ctx, request{op: op, object: object, method: http.MethodGet, path: path, paced: paced}, func(r *reply) (err error) {
		b := bytes.NewBuffer(make([]byte, 0, cmp.Or(r.length, documentSize)+bytes.MinRead))
		_, err = b.ReadFrom(r.body)
		doc = b.Bytes()
		return err
	})
	return doc, err
}

// post sends a form and ignores the answer's body: one request.
func (c *Client) post(ctx context.Context, op, object, path string, form url.Values) error {
	return c.do(ctx, request{
		op: op, object: object, method: http.MethodPost, path: path,
		body: []byte(form.Encode()), contentType: formType,
	}, nil)
}

// postXML sends a document: one request.
func (c *Client) postXML(ctx context.Context, op, object, path, query string, doc []byte) error {
	return c.do(ctx, request{
		op: op, object: object, method: http.MethodPost, path: path, query: query, body: doc, contentType: xmlType,
	}, nil)
}

// lookTwice calls f again after a 404. While the configuration of an agent is posted its name is absent for an instant
// (jenkins.model.Nodes#replaceNode removes the old object before it puts the new one), so that one 404
// proves nothing.
func lookTwice(ctx context.Context, f func() error) error {
	err := f()
	if !IsNotFound(err) {
		return err
	}
	if pause(ctx, 100*time.Millisecond) != nil {
		return err
	}
	return f()
}

// pause waits for d, give or take half of it, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d)) //nolint:gosec // jitter, not a secret
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// elements decodes the elements of the array that is the member named key of the next JSON object, one by one, so that
// memory does not grow with the array. Other members are skipped. It is an error if the member is missing: an answer
// that is not what was asked for must not pass for an empty one.
func elements(dec *json.Decoder, key string, each func(*json.Decoder) error) error {
	if err := delimiter(dec, '{'); err != nil {
		return err
	}
	found := false
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		if name != key {
			var skip json.RawMessage
			if err := dec.Decode(&skip); err != nil {
				return err
			}
			continue
		}
		found = true
		if err := delimiter(dec, '['); err != nil {
			return err
		}
		for dec.More() {
			if err := each(dec); err != nil {
				return err
			}
		}
		if err := delimiter(dec, ']'); err != nil {
			return err
		}
	}
	if err := delimiter(dec, '}'); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("answer has no member %q", key)
	}
	return nil
}

var errShape = errors.New("answer has an unexpected shape")

func delimiter(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if t != want {
		return errShape
	}
	return nil
}
