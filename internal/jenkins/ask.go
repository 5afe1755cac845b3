// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Ask reads a JSON object into v from an address that is not core's own, such as that of pitcrew's gate: one request. The
// path begins with a slash and is below the controller's root. What may take part of the time of a request, as a long poll
// does, must leave the rest of it, see [Client.Timeout].
func (c *Client) Ask(ctx context.Context, op, path string, query url.Values, v any) error {
	_, err := c.getJSON(ctx, op, "", path, query.Encode(), v)
	return err
}

// Tell posts a form to an address that is not core's own and reads the JSON object that is the answer into v: one request.
func (c *Client) Tell(ctx context.Context, op, path string, form url.Values, v any) error {
	return c.do(ctx, request{
		op: op, method: http.MethodPost, path: path, body: []byte(form.Encode()), contentType: formType,
	}, func(r *reply) error { return json.NewDecoder(r.body).Decode(v) })
}

// RunScript evaluates Groovy in the script console and returns what it prints: one request. It needs Overall/Administer
// (jenkins.model.Jenkins#_doScript). An exception in the script is no error here: its stack trace is what is printed.
func (c *Client) RunScript(ctx context.Context, script string) (string, error) {
	// In a part of its own: an url-encoded field that is longer than the servlet container allows is dropped without a
	// word, and the script that is empty then succeeds (gate-experiment 3).
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if err := errors.Join(writeField(form, "script", script), form.Close()); err != nil {
		return "", invalid("run script", "", err)
	}
	var out strings.Builder
	err := c.do(ctx, request{
		op: "run script", method: http.MethodPost, path: "/scriptText", body: body.Bytes(), contentType: form.FormDataContentType(),
	}, func(r *reply) error {
		_, err := io.Copy(&out, r.body)
		return err
	})
	return out.String(), err
}

// Timeout is how long one request with its answer may take.
func (c *Client) Timeout() time.Duration { return c.timeout }
