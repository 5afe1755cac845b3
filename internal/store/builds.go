// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Build is a real build that ran on an agent.
type Build struct {
	Agent        hygiene.AgentID
	URL          string
	Job          string // full name
	Number       int64
	At           time.Time // its start, by the controller's clock
	Attempt      int64     // whose cleanliness it used up; 0 = none
	Contaminated bool
	Reason       string // why it is contaminated
}

// BuildFilter chooses builds; the zero value chooses the newest of all.
type BuildFilter struct {
	Agent        hygiene.AgentID
	Controller   hygiene.ControllerID
	URL          string    // only this one
	Contaminated bool      // only those
	Since        time.Time // only those that started then or later
	After        *Build    // only those that follow it in the list; its agent, URL and start count
	Limit        int       // 0 = 100
}

// RecordBuilds stores what an agent's build feed said when it was asked, with the events that
// tell of it. A zero asked means that the builds were learnt in another way: then nothing changes
// about how far the feed is known, and the events must have their time.
//
// Recording a build again changes nothing that is known to its disadvantage, and the events of type
// [hygiene.EventContaminated] whose Data["url"] names a build that was known to be contaminated are
// left out: a repeated call tells nothing twice. The first contaminated build of a pool that had none
// for long is told of with an event of the pool, too. The events that were written are returned.
func (s *Store) RecordBuilds(ctx context.Context, id hygiene.AgentID, asked time.Time, builds []Build, events ...hygiene.Event) (told []hygiene.Event, err error) {
	err = s.write(ctx, func(ctx context.Context, t *txn) error {
		known, err := t.recordBuilds(ctx, id, asked, builds)
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(slices.Clone(events), func(e hygiene.Event) bool {
			return e.Type == hygiene.EventContaminated && known[e.Data["url"]]
		})
		told = complete(fresh, hygiene.Agent{ID: id}, asked)
		if told, err = t.countContaminated(ctx, told); err != nil {
			return err
		}
		return t.tell(ctx, told...)
	})
	if err != nil {
		return nil, fmt.Errorf("record builds of agent %s: %w", id, err)
	}
	return told, nil
}

// recordBuilds stores builds and how far the feed is known, and returns which of the contaminated ones were known
// to be so.
func (t *txn) recordBuilds(ctx context.Context, id hygiene.AgentID, asked time.Time, builds []Build) (known map[string]bool, err error) {
	feed, err := t.feed(ctx, id)
	if err != nil {
		return nil, err
	}
	known = make(map[string]bool, len(builds))
	for _, b := range builds {
		feed.Newest = max(feed.Newest, millis(b.At))
		if known[b.URL], err = t.recordBuild(ctx, id, b); err != nil {
			return nil, fmt.Errorf("record build %s: %w", b.URL, err)
		}
	}
	if asked.IsZero() {
		return known, nil
	}
	feed.Asked = max(feed.Asked, millis(asked))
	t.feeds[id] = feed
	return known, t.SaveFeed(ctx, rows.SaveFeedParams{Controller: string(id.Controller), Agent: id.Name, Asked: feed.Asked, Newest: feed.Newest})
}

// feedState is how far an agent's build feed was read.
type feedState rows.FeedRow

// recordBuild stores one build and reports, of a contaminated one, whether that was known.
func (t *txn) recordBuild(ctx context.Context, id hygiene.AgentID, b Build) (known bool, err error) {
	row := rows.SaveBuildParams{
		Controller: string(id.Controller), Agent: id.Name, URL: b.URL, Job: b.Job, Number: b.Number,
		At: millis(b.At), Attempt: b.Attempt, Reason: b.Reason,
	}
	if b.Contaminated {
		row.Contaminated = 1
		old, err := t.Build(ctx, row.Controller, row.Agent, row.URL)
		if err != nil && !isNoRow(err) {
			return false, err
		}
		known = old.Contaminated != 0
	}
	return known, t.SaveBuild(ctx, row)
}

// FeedState returns when an agent's build feed was last asked, and the start of the newest build
// that it told of. Both are zero before the first time.
func (s *Store) FeedState(ctx context.Context, id hygiene.AgentID) (asked, newest time.Time, err error) {
	feed, err := recall(s, func(b *book) map[hygiene.AgentID]feedState { return b.feeds }, id, func() (feedState, error) {
		feed, err := s.reads.Feed(ctx, string(id.Controller), id.Name)
		if err != nil && !isNoRow(err) {
			return feedState{}, fmt.Errorf("read feed state of agent %s: %w", id, explain(s.path, err))
		}
		return feedState(feed), nil
	})
	if err != nil {
		return asked, newest, err
	}
	return moment(feed.Asked), moment(feed.Newest), nil
}

// Builds returns the builds that match, newest first.
func (s *Store) Builds(ctx context.Context, f BuildFilter) ([]Build, error) {
	var q query
	q.ofAgent(f.Agent, f.Controller)
	if f.URL != "" {
		q.and("url = ?", f.URL)
	}
	if f.Contaminated {
		q.where = append(q.where, "contaminated = 1")
	}
	if !f.Since.IsZero() {
		q.and("at >= ?", millis(f.Since))
	}
	if b := f.After; b != nil {
		q.and("at <= ?", millis(b.At)) // finds the index; the comparison of rows does not
		q.and("(at, url, agent, controller) < (?, ?, ?, ?)", millis(b.At), b.URL, b.Agent.Name, string(b.Agent.Controller))
	}
	text := q.text("SELECT controller, agent, url, job, number, at, attempt, contaminated, reason FROM build",
		"at DESC, url DESC, agent DESC, controller DESC", limit(f.Limit))
	builds, err := list(ctx, s, text, q.args, buildFields, buildOf)
	if err != nil {
		return nil, fmt.Errorf("read builds: %w", err)
	}
	return builds, nil
}

func buildFields(r *rows.Build) []any {
	return []any{&r.Controller, &r.Agent, &r.URL, &r.Job, &r.Number, &r.At, &r.Attempt, &r.Contaminated, &r.Reason}
}

func buildOf(r rows.Build) (Build, error) {
	return Build{
		Agent: agentID(r.Controller, r.Agent), URL: r.URL, Job: r.Job, Number: r.Number,
		At: moment(r.At), Attempt: r.Attempt, Contaminated: r.Contaminated != 0, Reason: r.Reason,
	}, nil
}
