// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAControllerThatDoesNotAnswerIsLeftAloneAndAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, requests := false, 0
		c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			if !up {
				answering(503, "<h1>Please wait</h1>")(w, r)
				return
			}
			answering(200, `{"items":[]}`)(w, r)
		})
		for range breakerFailures {
			if _, err := c.Queue(t.Context()); errors.Is(err, ErrBreakerOpen) {
				t.Fatal("left alone too early")
			}
		}
		time.Sleep(3 * time.Second)
		_, err := c.Queue(t.Context())
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, ErrBreakerOpen) || !IsRetryable(err) || e.RetryAfter != 7*time.Second {
			t.Fatalf("got %v", err)
		}
		if !strings.Contains(err.Error(), "Please wait") || !strings.Contains(err.Error(), "try again in 7s") {
			t.Errorf("error does not say why and until when: %v", err)
		}
		if requests != breakerFailures {
			t.Errorf("%d requests reached the controller", requests)
		}
		time.Sleep(8 * time.Second)
		if _, err := c.Queue(t.Context()); !IsRetryable(err) || errors.Is(err, ErrBreakerOpen) {
			t.Errorf("after the pause one request should have gone out: %v", err)
		}
		up = true
		time.Sleep(11 * time.Second)
		for range 3 {
			if _, err := c.Queue(t.Context()); err != nil {
				t.Errorf("after it came back: %v", err)
			}
		}
	})
}

func TestOnlyAvailabilityOpensTheBreaker(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		h    http.RoundTripper
		open bool
	}{
		{"forbidden", inMemory{answering(403, "")}, false},
		{"not found", inMemory{answering(404, "")}, false},
		{"one broken object", inMemory{answering(500, "")}, false},
		{"not json", inMemory{answering(200, "x")}, false},
		{"gateway without backend", inMemory{answering(502, "")}, true},
		{"gateway timeout", inMemory{answering(504, "")}, true},
		{"cut off", inMemory{answering(200, `{"items":[`)}, true},
		{"no connection", roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := clientWith(t, Options{Transport: tt.h}, nil)
			for range breakerFailures + 3 {
				_, _ = c.Queue(t.Context())
			}
			if _, err := c.Queue(t.Context()); errors.Is(err, ErrBreakerOpen) != tt.open {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRequestsThatTheCallerGaveUpDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	c := clientWith(t, Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}, nil)
	for range breakerFailures + 3 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(0, cancel)
		if _, err := c.Queue(ctx); KindOf(err) != KindCancelled {
			t.Fatalf("got %v", err)
		}
	}
}
