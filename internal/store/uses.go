// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// OpenUse is a build that took the cleanliness which an attempt gave, and of which it is not known how it ended.
type OpenUse struct {
	Agent    hygiene.AgentID
	Attempt  int64
	Revision string // that had made the agent clean; "" = not known any more
	URL      string
	Lost     time.Time // when the cleanliness was lost, by the controller's clock
}

// UseResult is how such a build ended.
type UseResult struct {
	OpenUse
	Result string    // as Jenkins spells it; "" = nobody can tell
	At     time.Time // of its end
}

// OpenUses returns the newest n of such builds that began between since and until on agents of a pool and a controller.
func (s *Store) OpenUses(ctx context.Context, controller hygiene.ControllerID, pool string, since, until time.Time, n int) ([]OpenUse, error) {
	found, err := s.reads.OpenUses(ctx, rows.OpenUsesParams{
		Pool: pool, Since: millis(since), Until: millis(until), Controller: string(controller), N: int32(n), //nolint:gosec // a few
	})
	if err != nil {
		return nil, fmt.Errorf("read builds of pool %s without a result: %w", pool, explain(s.path, err))
	}
	return each(found, func(r rows.OpenUsesRow) (OpenUse, error) {
		return OpenUse{Agent: agentID(r.Controller, r.Agent), Attempt: r.Number, Revision: r.Revision, URL: r.UsedBy, Lost: moment(r.Lost)}, nil
	})
}

// SaveUseResult stores how such a build ended.
func (s *Store) SaveUseResult(ctx context.Context, pool string, u UseResult) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		return t.SaveUseResult(ctx, rows.SaveUseResultParams{
			Controller: string(u.Agent.Controller), Agent: u.Agent.Name, Number: u.Attempt, Pool: pool,
			Revision: u.Revision, Result: u.Result, At: millis(u.At),
		})
	})
	if err != nil {
		return fmt.Errorf("save result of %s: %w", u.URL, err)
	}
	return nil
}

// UseResults returns how the builds ended that did so at since or later on agents of a pool, in the order of their ends.
func (s *Store) UseResults(ctx context.Context, pool string, since time.Time) ([]UseResult, error) {
	found, err := s.reads.UseResults(ctx, pool, millis(since))
	if err != nil {
		return nil, fmt.Errorf("read results of builds of pool %s: %w", pool, explain(s.path, err))
	}
	return each(found, func(r rows.UseResult) (UseResult, error) {
		return UseResult{OpenUse: OpenUse{Agent: agentID(r.Controller, r.Agent), Attempt: r.Number, Revision: r.Revision}, Result: r.Result, At: moment(r.At)}, nil
	})
}
