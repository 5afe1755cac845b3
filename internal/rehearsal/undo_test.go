// SPDX-License-Identifier: Apache-2.0

package rehearsal_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
)

func TestEverythingIsUndoneWhateverFailsInBetween(t *testing.T) {
	t.Parallel()
	var order []string
	u := &rehearsal.Undo{}
	one := func(what string, err error) func(context.Context) error {
		return func(ctx context.Context) error {
			if ctx.Err() != nil {
				t.Errorf("%s is undone with a context that has ended", what)
			}
			order = append(order, what)
			return err
		}
	}
	u.Push("node", one("node", nil))
	part := u.Part("agent")
	part.Push("loan", one("loan", nil))
	part.Push("mess", one("mess", errors.New("busy")))
	u.Push("job", func(context.Context) error { panic("a defect") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := u.Left(); !slices.Equal(got, []string{"node", "loan", "mess", "job"}) {
		t.Errorf("before, left are %q", got)
	}
	err := u.Run(ctx)
	if err == nil || !strings.Contains(err.Error(), "left behind: mess: busy") || !strings.Contains(err.Error(), "job: panic: a defect") {
		t.Errorf("the error is %v", err)
	}
	if !slices.Equal(order, []string{"mess", "loan", "node"}) {
		t.Errorf("undone were %q", order)
	}
	if got := u.Left(); !slices.Equal(got, []string{"mess", "job"}) {
		t.Errorf("after, left are %q", got)
	}
	order = nil
	_ = u.Run(ctx) // the same errors
	if !slices.Equal(order, []string{"mess"}) {
		t.Errorf("a second time undone were %q, want what failed", order)
	}
}
