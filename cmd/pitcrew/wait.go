// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// waitPoll is how often an agent that is waited for is looked at.
const waitPoll = 500 * time.Millisecond

// restartTime is how long a daemon may give no answer to whoever waits: it restarts, and cleanups and loans go on.
const restartTime = 2 * time.Minute

// waiting is for the end of an agent's next cleanup.
type waiting struct {
	*cli
	d interface {
		Agent(ctx context.Context, controller, name string) (api.AgentDetail, error)
	}
	before   api.Agent     // when it was ordered
	depth    hygiene.Depth // that was asked for: a lighter one is not waited for
	progress *progress
}

// wait returns whether the agent was cleaned. That it was not is said, and no error.
func (w *waiting) wait(ctx context.Context) (bool, error) {
	name := fullName(w.before.Controller, w.before.Name)
	answered := time.Now()
	for {
		a, err := w.d.Agent(ctx, w.before.Controller, w.before.Name)
		switch {
		case ctx.Err() != nil:
			return w.over(ctx, name)
		case client.IsPassing(err) && time.Since(answered) <= restartTime:
			w.progress.show(name + ": the daemon does not answer; it is asked again")
			if pause(ctx, waitPoll) != nil {
				return w.over(ctx, name)
			}
			continue
		case err != nil:
			return false, err
		}
		answered = time.Now()
		if t, done := w.ended(a); done {
			w.progress.clear()
			fmt.Fprintln(w.err, name+" "+outcomeText(t))
			return t.Outcome == string(hygiene.Cleaned), nil
		}
		if a.Hygiene == string(hygiene.IsUnmanaged) {
			w.progress.clear()
			fmt.Fprintln(w.err, name+" is not managed any more")
			return false, nil
		}
		w.progress.show(name + ": " + w.doing(a))
		if pause(ctx, waitPoll) != nil {
			return w.over(ctx, name)
		}
	}
}

// over tells the end of the user's patience from that of the time.
func (w *waiting) over(ctx context.Context, name string) (bool, error) {
	w.progress.clear()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		fmt.Fprintln(w.err, name+" was not cleaned in time; it will be all the same")
		return false, nil
	}
	fmt.Fprintln(w.err, "Not waited for any longer; the cleanup goes on.")
	return false, ctx.Err()
}

// ended finds the end of a cleanup that was in progress when it was ordered, or came later. One
// that was given back, was lost or is lighter than asked for is followed by another.
func (w *waiting) ended(a api.AgentDetail) (api.Attempt, bool) {
	first := w.before.Attempt + 1
	if w.before.Hygiene == string(hygiene.IsCleaning) {
		first--
	}
	for _, t := range a.Attempts {
		if t.Number >= first && hygiene.Depth(t.Depth).Covers(w.depth) && (t.Outcome == string(hygiene.Cleaned) || t.Outcome == string(hygiene.Failed)) {
			return t, true
		}
	}
	return api.Attempt{}, false
}

func (w *waiting) doing(a api.AgentDetail) string {
	if a.Current != nil {
		return fmt.Sprintf("cleanup %d, %s since %s", a.Current.Number, phaseOf(*a.Current), w.since(a.Current.Claimed))
	}
	return a.Hygiene + because(w.why(a.Agent))
}

// phaseOf says how far an attempt in progress is.
func phaseOf(t api.Attempt) string {
	switch {
	case !t.Proved.IsZero():
		return "proved"
	case !t.Started.IsZero():
		return "running"
	case !t.Handed.IsZero():
		return "waiting for the agent"
	}
	return "claimed"
}

func outcomeText(t api.Attempt) string {
	text := "was cleaned in " + took(t.Claimed, t.Ended)
	if t.Outcome != string(hygiene.Cleaned) {
		text = "could not be cleaned" + because(stepFirst(t.Step, t.Reason))
	}
	return fmt.Sprintf("%s (attempt %d, \"pitcrew attempt %d --log\")", text, t.Number, t.ID)
}

// progress is one line on a terminal that changes in place. Elsewhere it shows nothing: logs are
// for what happened.
type progress struct {
	out   io.Writer // nil: nobody looks
	width int
	last  string
}

func (c *cli) newProgress() *progress {
	if !isTerminal(c.err) {
		return &progress{}
	}
	width := c.width()
	if width == 0 {
		width = helpWidth
	}
	return &progress{out: c.err, width: width}
}

func (p *progress) show(line string) {
	if p.out == nil || line == p.last {
		return
	}
	p.last = line
	fmt.Fprint(p.out, "\r\x1b[K"+snip(line, p.width-1))
}

func (p *progress) clear() {
	if p.out != nil && p.last != "" {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.last = ""
	}
}
