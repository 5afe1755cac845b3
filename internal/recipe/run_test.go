// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

func TestARunnerStreamsTheLogAndReturnsTheReport(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := Runner{Agent: "here", Labels: []string{"el7"}, Output: &log}
	ran, err := r.Run(t.Context(), compiled(t, recipeOf("- {name: a, run: echo hello, when: {labels: el7}}\n- {name: b, run: exit 1}\n")))
	if err != nil || ran.Exit != 1 || ran.Report.Outcome != Failed || ran.Report.Agent != "here" {
		t.Errorf("Run = %+v, %v; want failed", ran, err)
	}
	if !strings.Contains(log.String(), "\n| hello\n") || strings.Contains(log.String(), sentinel) || strings.Contains(log.String(), `"version"`) {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestACancelledRunStopsItsProgram(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	log := writerFunc(func(line []byte) {
		if string(line) == "| ready\n" {
			cancel(why)
		}
	})
	_, err := Runner{Output: log}.Run(ctx, compiled(t, recipeOf("- {name: a, run: echo ready; sleep 1000}\n")))
	if !errors.Is(err, why) {
		t.Errorf("Run: %v, want the cause of the cancellation", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}
