// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// trouble is what disturbs a set-up until its context ends. It returns what it did, in words.
type trouble func(ctx context.Context, t *testing.T, s *suite) string

// hostile are label strings that people, scripts and configuration as code write over ours.
var hostile = []string{"cleanable clean", "clean", "foo", "cleanable", "cleanable dirty", "clean cleanable foo", "cleanable clean"}

// meddle edits labels through config.xml all the time.
func meddle(ctx context.Context, _ *testing.T, s *suite) string {
	edits := 0
	for ; ctx.Err() == nil; pause(ctx, s.size.editEvery) {
		a := s.fleet[rand.N(len(s.fleet))]
		document, err := s.Send(ctx, testbed.Request{Method: http.MethodGet, Path: a.Path + "/config.xml"})
		if err != nil || document.Status != http.StatusOK {
			continue // replaced just now, or the end
		}
		answer, err := s.Send(ctx, testbed.Request{
			Method: http.MethodPost, Path: a.Path + "/config.xml", ContentType: "application/xml",
			Body: testbed.WithLabels(document.Body, hostile[rand.N(len(hostile))]),
		})
		if err == nil && answer.Status == http.StatusOK {
			edits++
		}
	}
	return fmt.Sprintf("%d hostile edits", edits)
}

// reinstall registers the gate again and again, and looks from the side how many there are.
func reinstall(ctx context.Context, t *testing.T, s *suite) string {
	t.Helper()
	var looks atomic.Int64
	beside := make(chan struct{})
	go func() {
		defer close(beside)
		for ; ctx.Err() == nil; pause(ctx, s.size.installEvery/2) {
			if err := s.copies(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			looks.Add(1)
		}
	}()
	times := 0
	for ; ctx.Err() == nil; pause(ctx, s.size.installEvery) {
		if err := s.install(ctx, false); err != nil && ctx.Err() == nil {
			t.Errorf("register the gate again: %v", err)
		}
		times++
	}
	<-beside
	return fmt.Sprintf("%d re-registrations, copies counted %d times", times, looks.Load())
}

// shoot kills the process of an agent every so often. It is started again by its supervisor.
func shoot(ctx context.Context, _ *testing.T, s *suite) string {
	kills := 0
	for pause(ctx, 300*time.Millisecond); ctx.Err() == nil; pause(ctx, s.size.killEvery) {
		s.fleet[rand.N(len(s.fleet))].Kill()
		kills++
	}
	return fmt.Sprintf("%d kills of an agent", kills)
}

// several are troubles at once.
func several(all ...trouble) trouble {
	return func(ctx context.Context, t *testing.T, s *suite) string {
		t.Helper()
		words := make([]string, len(all))
		_ = together(len(all), func(i int) error {
			words[i] = all[i](ctx, t, s)
			return nil
		})
		return fmt.Sprint(words)
	}
}
