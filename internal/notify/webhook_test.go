// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/notify"
)

func notice() notify.Notice {
	return notify.Notice{
		Position: 7, ID: "e1-7", Type: "agent.quarantined", Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600)),
		Subject: notify.Subject{Controller: "ci", Agent: "el9-1", Pool: "el9"}, Summary: "el9-1 is quarantined",
		Before: "cleaning", After: "quarantined", Reason: "3 cleanups failed", Data: map[string]string{"step": "disk gate"},
	}
}

const wantEnvelope = `{
	"specversion": "1.0", "id": "e1-7", "source": "/pitcrew/main", "type": "io.github.pitcrew-ci.agent.quarantined",
	"subject": "ci/el9-1", "time": "2026-03-04T04:06:07Z", "datacontenttype": "application/json",
	"data": {
		"summary": "el9-1 is quarantined", "controller": "ci", "agent": "el9-1", "pool": "el9", "before": "cleaning",
		"after": "quarantined", "reason": "3 cleanups failed", "details": {"step": "disk gate"}
	}
}`

// isEnvelope compares the bytes that a receiver got with what they should say.
func isEnvelope(t *testing.T, body []byte) {
	t.Helper()
	var got, want any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	if err := json.Unmarshal([]byte(wantEnvelope), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
}

func secret(text string) notify.Secret {
	return func(context.Context) (string, error) { return text, nil }
}

func serve(t *testing.T, handler http.HandlerFunc) (*notify.Webhook, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &notify.Webhook{URL: secret(server.URL), Source: "/pitcrew/main", Client: server.Client()}, server.URL
}

func TestWebhookPostsSignedCloudEvent(t *testing.T) {
	t.Parallel()
	raw := []byte("0123456789abcdef01234567")
	for name, tt := range map[string]struct {
		key  notify.Secret
		sign []byte // nil: there must be no signature
	}{
		"a key as it is":   {secret("k3y"), []byte("k3y")},
		"a key in base64":  {secret("whsec_" + base64.StdEncoding.EncodeToString(raw)), raw},
		"no key, unsigned": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				isEnvelope(t, body)
				if got := r.Header.Get("Content-Type"); r.Method != http.MethodPost || !strings.HasPrefix(got, "application/cloudevents+json") {
					t.Errorf("got %s of %s", r.Method, got)
				}
				checkSignature(t, r.Header, body, tt.sign)
			})
			hook.Key = tt.key
			if err := hook.Send(t.Context(), notice()); err != nil {
				t.Error(err)
			}
		})
	}
}

// checkSignature does what a receiver does by the Standard Webhooks specification.
func checkSignature(t *testing.T, header http.Header, body, key []byte) {
	t.Helper()
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); id != "e1-7" || err != nil || age < -time.Minute || age > time.Minute {
		t.Errorf("id %q, timestamp %q", id, timestamp)
	}
	want := ""
	if key != nil {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "." + string(body)))
		want = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	if got := header.Get("webhook-signature"); got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
}

func TestWebhookTellsRefusalsFromTroubles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		status    int
		header    string
		permanent bool
		after     time.Duration
		delivered bool
	}{
		{name: "200", status: 200, delivered: true},
		{name: "204", status: 204, delivered: true},
		{name: "a redirect is not followed", status: 307},
		{name: "content that is refused", status: 422, permanent: true},
		{name: "content that is too large", status: 413, permanent: true},
		{name: "a wrong token, which a person is going to mend", status: 401},
		{name: "an address that is not there yet", status: 404},
		{name: "too many", status: 429, header: "17", after: 17 * time.Second},
		{name: "down for maintenance", status: 503, header: "Wed, 21 Oct 2015 07:28:00 GMT"},
		{name: "nonsense in the header", status: 503, header: "soon"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			hook, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/" {
					t.Error("the redirect was followed")
				}
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Retry-After", tt.header)
				w.WriteHeader(tt.status)
			})
			err := hook.Send(t.Context(), notice())
			if tt.delivered {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refusal *notify.Refusal
			if !errors.As(err, &refusal) || refusal.Permanent != tt.permanent || refusal.After != tt.after {
				t.Errorf("got %v (%+v), want permanent %t, after %v", err, refusal, tt.permanent, tt.after)
			}
			if !strings.Contains(err.Error(), strconv.Itoa(tt.status)) {
				t.Errorf("%q does not say %d", err, tt.status)
			}
		})
	}
}

func TestWebhookErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const canary = "c4nary"
	hook, url := serve(t, func(http.ResponseWriter, *http.Request) {})
	sealed := errors.New("vault is sealed")
	for name, spoil := range map[string]func(*notify.Webhook){
		"nobody listens":     func(w *notify.Webhook) { w.URL = secret("http://127.0.0.1:1/" + canary) },
		"no address":         func(w *notify.Webhook) { w.URL = secret("ht tp://x/" + canary) },
		"an unknown scheme":  func(w *notify.Webhook) { w.URL = secret("gopher://x/" + canary) },
		"a key in no base64": func(w *notify.Webhook) { w.Key = secret("whsec_" + canary + "*") },
		"no key to be had":   func(w *notify.Webhook) { w.Key = func(context.Context) (string, error) { return canary, sealed } },
		"no url to be had":   func(w *notify.Webhook) { w.URL = func(context.Context) (string, error) { return canary, sealed } },
	} {
		w := *hook
		w.URL, w.Key = secret(url), secret(canary)
		spoil(&w)
		err := w.Send(t.Context(), notice())
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v", name, err)
		}
		if refusal, ok := errors.AsType[*notify.Refusal](err); ok && refusal.Permanent {
			t.Errorf("%s: a person may mend it, but the notice is refused for good", name)
		}
	}
}

func TestWebhookThatDoesNotAnswerIsGivenItsTimeAndNoMore(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hook, _ := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) }) // before the server waits for its handlers
	hook.Timeout = 50 * time.Millisecond
	if err := hook.Send(t.Context(), notice()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}
