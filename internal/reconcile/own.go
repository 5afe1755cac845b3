// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// ownEvery is how often the owner's mark is read and renewed.
const ownEvery = 5 * time.Minute

// own proves that this daemon services the controller: a disabled job bears the owner's id, and a
// second owner is refused by name. The mark also carries the number of the newest event at the time
// it was written, so that a store that is older than its mark, a restored copy, is recognised and
// begins a new epoch.
func (c *Crew) own(ctx context.Context, look *Look) error {
	s := c.settings.Load()
	if s.DryRun || time.Since(c.ownedAt()) < ownEvery {
		return nil
	}
	job := s.jobName("owner")
	text, err := c.readMark(ctx, job)
	if err != nil {
		return fmt.Errorf("read the owner's mark: %w", inWords(err, s))
	}
	mark, err := parseMark(text)
	switch {
	case err != nil:
		c.refuse(fmt.Sprintf("job %s exists and is not an owner's mark: %v; rename or delete it", job, err))
		return nil
	case mark.Owner != c.Owner:
		return c.yieldTo(ctx, mark, job, look.At)
	case c.marked(job) && mark.Instance != c.instance:
		// Ours stood there: another daemon that goes by the same name has written over it.
		return c.yieldTo(ctx, mark, job, look.At)
	}
	if err := c.checkAge(ctx, mark, look.At); err != nil {
		return err
	}
	mine, err := c.mark(ctx)
	if err != nil {
		return err
	}
	if mine.Labels, err = c.dropSpellings(ctx, s, mark.Labels, look); err != nil {
		return err
	}
	if err := c.Jenkins.UpdateJob(ctx, job, mine.render()); err != nil {
		return fmt.Errorf("renew the owner's mark: %w", inWords(configuring.of(job, err), s))
	}
	c.mu.Lock()
	c.owned, c.markedJob = time.Now(), job
	c.mu.Unlock()
	if c.Refused() != "" {
		c.refuse("")
	}
	return nil
}

// marked reports whether this process has written the mark before.
func (c *Crew) marked(job string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.markedJob == job
}

// yieldTo leaves the controller to another daemon, and says so once.
func (c *Crew) yieldTo(ctx context.Context, rival mark, job string, now time.Time) error {
	reason := fmt.Sprintf("it is serviced by %q on %s; stop that pitcrew and delete job %s to take over", rival.Owner, rival.Host, job)
	if rival.Owner == c.Owner {
		// The mark does not tell whether that one still lives: only a start is somebody's word for it.
		reason = fmt.Sprintf("it is serviced by another pitcrew of the same name, %q, that was started later, on %s; "+
			"stop that one and then restart this one, or give each an owner of its own", rival.Owner, rival.Host)
	}
	if c.Refused() == reason {
		return nil
	}
	c.refuse(reason)
	e := hygiene.Event{
		Type: hygiene.EventRival, At: now, Actor: "pitcrew", Subject: string(c.id),
		Agent: hygiene.AgentID{Controller: c.id}, Reason: reason,
	}
	c.Watch.Changed(e)
	return c.Store.Append(ctx, now, e)
}

// readMark reads the job that bears the mark, and makes it where there is none. It is read again
// after it was made: a rival may have been quicker.
func (c *Crew) readMark(ctx context.Context, job string) ([]byte, error) {
	text, err := c.Jenkins.JobConfig(ctx, job)
	if !jenkins.IsNotFound(err) {
		return text, reading.of(job, err)
	}
	mine, err := c.mark(ctx)
	if err != nil {
		return nil, err
	}
	taken := c.Jenkins.CreateJob(ctx, job, mine.render())
	if taken != nil && !jenkins.IsConflict(taken) {
		return nil, creating.of(job, taken)
	}
	text, err = c.Jenkins.JobConfig(ctx, job)
	if jenkins.IsNotFound(err) && taken != nil {
		return nil, creating.of(job, taken)
	}
	return text, reading.of(job, err)
}

// mark is what this daemon writes now.
func (c *Crew) mark(ctx context.Context) (mark, error) {
	newest, err := c.Store.NewestEvent(ctx)
	return mark{Owner: c.Owner, Host: c.Host, Epoch: c.Store.Epoch(), Event: newest, Instance: c.instance, Labels: []hygiene.Names{c.settings.Load().Labels}}, err
}

// checkAge begins a new epoch when the mark has seen events that the store does not have.
func (c *Crew) checkAge(ctx context.Context, m mark, now time.Time) error {
	newest, err := c.Store.NewestEvent(ctx)
	if err != nil || m.Epoch != c.Store.Epoch() || m.Event <= newest {
		return err
	}
	return c.Store.NewEpoch(ctx, fmt.Sprintf("controller %s has seen event %d of this store, which ends with %d: it is an old copy", c.id, m.Event, newest), now)
}

func (c *Crew) ownedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owned
}

// forgetOwner makes the next poll prove ownership again.
func (c *Crew) forgetOwner() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owned = time.Time{}
}

var errNoMark = errors.New("its description holds no mark")
