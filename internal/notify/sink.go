// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// progress is how far a sink has come. What was delivered counts even while saving that does not work.
type progress struct {
	known bool
	done  int64
	saved int64
}

// catchUp delivers until nothing is left, or returns what stands in the way.
func (n *Notifier) catchUp(ctx context.Context, s Sink, at *progress, log *slog.Logger) error {
	if err := n.locate(ctx, s, at); err != nil {
		return err
	}
	for {
		notices, err := n.opts.Outbox.Notices(ctx, at.done, batch)
		if err != nil {
			return fmt.Errorf("read notices: %w", err)
		}
		err = n.deliverAll(ctx, s, notices, at, log)
		// Notices that the filter left out are saved here, all at once.
		if err := errors.Join(err, n.save(ctx, s, at)); err != nil || len(notices) < batch {
			return err
		}
	}
}

func (n *Notifier) deliverAll(ctx context.Context, s Sink, notices []Notice, at *progress, log *slog.Logger) error {
	for _, notice := range notices {
		if !s.Filter.Matches(notice) {
			at.done = notice.Position
			continue
		}
		if err := n.deliver(ctx, s, notice, log); err != nil {
			return err
		}
		at.done = notice.Position
		if err := n.save(ctx, s, at); err != nil {
			return err
		}
	}
	return nil
}

// deliver returns nil when the notice is delivered, or given up.
func (n *Notifier) deliver(ctx context.Context, s Sink, notice Notice, log *slog.Logger) error {
	start := time.Now()
	err := s.Sender.Send(ctx, notice)
	if err != nil && ctx.Err() != nil {
		return err // it is our own end that stopped it
	}
	refusal, refused := errors.AsType[*Refusal](err)
	tooOld := time.Since(notice.Time) > n.opts.MaxAge
	givenUp := err != nil && (tooOld || refused && refusal.Permanent)
	n.opts.Observe(Delivery{Sink: s.Name, Notice: notice, Duration: time.Since(start), Err: err, GivenUp: givenUp})
	if givenUp {
		log.ErrorContext(ctx, "notice is given up", "notice", notice.ID, "type", notice.Type, "subject", notice.Subject.String(), "too_old", tooOld, "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("deliver notice %s: %w", notice.ID, err)
	}
	return nil
}

// locate finds where the sink stands: where it was, or for a new one at the end of what there is.
func (n *Notifier) locate(ctx context.Context, s Sink, at *progress) error {
	if at.known {
		return nil
	}
	saved, err := n.opts.Outbox.Cursor(ctx, reader(s))
	if err != nil {
		return fmt.Errorf("read position: %w", err)
	}
	at.done, at.saved = saved, saved
	if saved == 0 {
		latest, err := n.opts.Outbox.Latest(ctx)
		if err != nil {
			return fmt.Errorf("read latest position: %w", err)
		}
		if at.done = latest; latest == 0 {
			at.done = atStart
		}
		if err := n.save(ctx, s, at); err != nil {
			return err
		}
	}
	at.known = true
	return nil
}

func (n *Notifier) save(ctx context.Context, s Sink, at *progress) error {
	if at.done == at.saved {
		return nil
	}
	// A delivery that ctx's end has overtaken has still been made.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveLimit)
	defer cancel()
	if err := n.opts.Outbox.SaveCursor(ctx, reader(s), at.done); err != nil {
		return fmt.Errorf("save position: %w", err)
	}
	at.saved = at.done
	return nil
}

// reader is what the sink's position is saved under: other readers of the outbox must not have the same name.
func reader(s Sink) string { return "notify/" + s.Name }
