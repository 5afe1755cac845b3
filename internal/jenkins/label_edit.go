// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

const (
	editRounds = 4                      // of one edit; each decides on fresh facts
	editPause  = 150 * time.Millisecond // before the second round, doubled for each further one
	staleAfter = 250 * time.Millisecond // a document older than this is read again before it is posted
)

// ErrLostEdit says that in every round somebody else's writing of the same agent won, or Jenkins dropped ours.
var ErrLostEdit = errors.New("the labels were not the wanted ones when read back")

// LabelEdit is what an edit of labels did.
type LabelEdit struct {
	Before, After []string // labels of the configuration when first and last read
	Written       bool
	Rounds        int
	Requests      int

	// Foreign: the rest of the configuration changed between our reading and our reading back, so that somebody else
	// is writing this agent as well. Their edit may be lost if it fell between our reading and our writing.
	Foreign bool
	// OfflineBefore and OfflineAfter tell whether the document carried a mark "temporarily offline", as first read and
	// as read back. A mark that somebody set or lifted between our reading and our writing is undone by our writing and
	// leaves no trace; compare OfflineAfter with what was seen of the agent elsewhere, and repair it.
	OfflineBefore, OfflineAfter bool
	// OfflineChanged: when read back, the mark was not the one that we sent.
	OfflineChanged bool
	// Stale are removed labels for which the scheduler still lists the agent, or did not say; its cache lives up to
	// 5 minutes. Until then jobs that ask for them can come.
	Stale []string
}

// EditLabels changes the label string of an agent. decide is given the configuration as it is and returns the labels
// wanted, or an error; [ErrNoChange] ends the edit without error and without writing. It may be called several times,
// each time with fresh facts, must not do I/O, and must return the labels of others that it was given.
//
// Jenkins has no conditional write: it answers 200 also when another writer came in between and the edit is dropped
// (jenkins.model.Nodes#replaceNode returns false, hudson.model.Computer#updateByXml ignores it). So the configuration
// is read back, and if the labels are not those wanted, all starts again, at most 4 times.
//
// Requests: 1 if nothing is to be written; 3 for a write; 1 more for each label removed, to see what the scheduler's
// cache says; 3 more per further round.
func (c *Client) EditLabels(ctx context.Context, agent string, decide func(NodeConfig) ([]string, error)) (LabelEdit, error) {
	path, err := computerPath(agent)
	if err != nil {
		return LabelEdit{}, invalid("edit labels", agentObject(agent), err)
	}
	e := labelEditor{c: c, agent: agent, path: path, decide: decide}
	err = e.run(ctx)
	return e.done, err
}

// labelEditor is one call of EditLabels.
type labelEditor struct {
	c           *Client
	agent, path string
	decide      func(NodeConfig) ([]string, error)
	done        LabelEdit
}

func (e *labelEditor) run(ctx context.Context) error {
	wait := editPause
	for {
		e.done.Rounds++
		settled, err := e.round(ctx)
		if settled || err != nil {
			return err
		}
		if e.done.Rounds == editRounds {
			return &Error{Op: "edit labels", Object: agentObject(e.agent), Kind: KindConflict, Err: ErrLostEdit}
		}
		e.c.logger.LogAttrs(ctx, slog.LevelDebug, "label edit lost, trying again",
			slog.String("agent", e.agent), slog.Int("round", e.done.Rounds))
		if err := pause(ctx, wait); err != nil {
			return &Error{Op: "edit labels", Object: agentObject(e.agent), Kind: KindCancelled, Err: err}
		}
		wait *= 2
	}
}

// round reads, decides, writes and reads back. It is settled if the labels are as wanted.
func (e *labelEditor) round(ctx context.Context) (settled bool, err error) {
	before, wanted, err := e.propose(ctx)
	if errors.Is(err, ErrNoChange) {
		if e.done.Rounds > 1 { // an earlier round wrote
			e.checkCache(ctx, e.done.Before, before.Labels)
		}
		return true, nil
	}
	if err != nil {
		return false, err
	}
	edited, err := spliceLabels(before.doc, before.outline, wanted)
	if err != nil {
		return false, invalid("edit labels", agentObject(e.agent), err)
	}
	postErr := e.post(ctx, edited)
	if postErr != nil && !IsRetryable(postErr) && !IsNotFound(postErr) {
		return false, postErr
	}
	// Even an edit that got no answer may have been done; and one 404 happens while another writer is at work.
	after, err := e.read(ctx, false)
	if err != nil {
		return false, errors.Join(postErr, err)
	}
	e.record(before, after)
	if !sameLabels(after.Labels, wanted) {
		if IsRetryable(postErr) {
			return false, postErr
		}
		return false, nil
	}
	e.done.Written = true
	e.checkCache(ctx, before.Labels, wanted)
	return true, nil
}

// propose reads the configuration and decides on it. The read stands as closely as can be before the write that
// follows: what the rate limiter would let wait between the two is waited for before, and a decision that took long is
// made again on a new document.
func (e *labelEditor) propose(ctx context.Context) (before NodeConfig, wanted []string, err error) {
	for range editRounds {
		if err := e.c.pace(ctx, 2); err != nil {
			return NodeConfig{}, nil, e.c.failure(ctx, request{op: "edit labels", object: agentObject(e.agent)}, err, nil)
		}
		if before, err = e.read(ctx, true); err != nil {
			return NodeConfig{}, nil, err
		}
		if e.done.Before == nil {
			e.done.Before, e.done.OfflineBefore = slices.Clone(before.Labels), before.TemporarilyOffline
		}
		e.done.After, e.done.OfflineAfter = slices.Clone(before.Labels), before.TemporarilyOffline
		start := time.Now()
		if wanted, err = e.decide(before); err != nil {
			return before, nil, err
		}
		if sameLabels(before.Labels, wanted) {
			return before, nil, ErrNoChange
		}
		if time.Since(start) < staleAfter {
			return before, wanted, nil
		}
	}
	return before, wanted, nil
}

// read makes one request, two after a 404.
func (e *labelEditor) read(ctx context.Context, paced bool) (n NodeConfig, err error) {
	err = lookTwice(ctx, func() error {
		e.done.Requests++
		n, err = e.c.readNode(ctx, e.agent, e.path, paced)
		return err
	})
	return n, err
}

func (e *labelEditor) post(ctx context.Context, doc []byte) error {
	e.done.Requests++
	return e.c.do(ctx, request{
		op: "write configuration", object: agentObject(e.agent), method: http.MethodPost, path: e.path + "/config.xml",
		body: doc, contentType: xmlType, paced: true,
	}, nil)
}

func (e *labelEditor) record(before, after NodeConfig) {
	e.done.After, e.done.OfflineAfter = slices.Clone(after.Labels), after.TemporarilyOffline
	e.done.OfflineChanged = !bytes.Equal(before.mark, after.mark)
	e.done.Foreign = e.done.Foreign || !sameRest(&before, &after)
}

// checkCache asks the scheduler about the labels removed. Where it does not tell, it is taken to be behind.
func (e *labelEditor) checkCache(ctx context.Context, before, after []string) {
	for _, label := range before {
		if e.c.labels != nil && !slices.Contains(e.c.labels, label) {
			continue
		}
		if slices.Contains(after, label) || label == e.agent { // its own name stays a label of the agent
			continue
		}
		e.done.Requests++
		nodes, err := e.c.LabelNodes(ctx, labelexpr.Atom(label).String())
		if err != nil {
			e.c.logger.LogAttrs(ctx, slog.LevelDebug, "scheduler's view of a removed label is unknown",
				slog.String("agent", e.agent), slog.String("label", label), slog.Any("err", err))
		}
		if err != nil || slices.Contains(nodes, e.agent) {
			e.done.Stale = append(e.done.Stale, label)
		}
	}
}
