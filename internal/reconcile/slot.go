// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// slotNames are the full names of a controller's slot jobs: as many as cleanups may run at once.
func (s *Settings) slotNames() []string {
	names := make([]string, max(1, s.MaxCleanups))
	for i := range names {
		names[i] = s.jobName(fmt.Sprintf("slot-%02d", i+1))
	}
	return names
}

// loanJob is the full name of the n-th job that holds a loan.
func (s *Settings) loanJob(n int) string { return s.jobName(fmt.Sprintf("%s%02d", loanJobs, n)) }

// jobName is the full name of a job of ours.
func (s *Settings) jobName(base string) string {
	name := s.Jobs.Prefix + base
	if s.Jobs.Folder != "" {
		name = s.Jobs.Folder + "/" + name
	}
	return name
}

// ours reports whether a job is one that carries our programs. Slots are recognised by name, so
// that those of a larger cap of before still are.
func (s *Settings) ours(job string) bool {
	if job == "" {
		return false
	}
	return job == s.Jobs.Parameterised || strings.HasPrefix(job, s.jobName("slot-")) || strings.HasPrefix(job, s.jobName(loanJobs))
}

// prepareJob makes sure that a job carries the attempt's program for the attempt's agent, and that
// nobody else changed it. It answers false after it ended the attempt, or when no slot is free.
func (c *Crew) prepareJob(ctx context.Context, w *work) (job string, ok bool, err error) {
	if reason := outdated(w); reason != "" {
		return "", false, c.giveBack(ctx, w, reason)
	}
	if name := w.settings.Jobs.Parameterised; name != "" {
		return c.checkParameterised(ctx, w, name)
	}
	slot, err := c.Store.TakeSlot(ctx, c.id, w.agent.ID.Name, w.attempt.Number, w.program.Digest, w.settings.slotNames())
	if errors.Is(err, store.ErrNoSlot) {
		return "", false, c.withoutSlot(ctx, w)
	}
	if err != nil {
		return "", false, err
	}
	if busy, err := c.clearSlot(ctx, w, slot.Job); err != nil || busy {
		return "", false, err
	}
	err = c.tie(ctx, w, slot)
	if refused, ok := errors.AsType[*refusal](err); ok {
		return "", false, c.refuseSlot(ctx, w, slot, refused.reason)
	}
	return slot.Job, err == nil, err
}

// withoutSlot frees the slots of attempts that have ended; the next poll tries again. Where all are refused, no poll
// will find one that is free.
func (c *Crew) withoutSlot(ctx context.Context, w *work) error {
	if err := c.rescue(ctx); err != nil {
		return err
	}
	slots, err := c.Store.Slots(ctx, c.id)
	if err != nil {
		return err
	}
	ours := w.settings.slotNames()
	refused := slices.DeleteFunc(slots, func(s store.Slot) bool { return s.Refused == "" || !slices.Contains(ours, s.Job) })
	if len(refused) < len(ours) {
		return nil
	}
	return c.hinder(ctx, w, fmt.Sprintf("no slot of %d can be used: %s", len(ours), refused[0].Refused))
}

// outdated says why there is not the program that the attempt was claimed for, "" when it has.
// A reload between claim and hand-over is no failure of the agent.
func outdated(w *work) string {
	switch {
	case w.pool.Program == nil:
		return "its pool has no recipe"
	case w.program == nil:
		return "its recipe was changed meanwhile"
	}
	return ""
}

// clearSlot sees to it that no earlier build of the slot is queued or runs: its result could not
// count, and two queued builds of one slot could change places.
func (c *Crew) clearSlot(ctx context.Context, w *work, job string) (busy bool, err error) {
	for _, item := range w.look.Queue.Items {
		if item.Job == job {
			return true, c.Jenkins.CancelQueueItem(ctx, item.ID)
		}
	}
	for _, a := range w.look.Agents {
		for _, e := range a.Running {
			if e.Job == job {
				return true, c.Jenkins.StopBuild(ctx, job, e.Number)
			}
		}
	}
	return false, nil
}

// tie makes the slot's job carry the program and names the agent in it. The common case, the same
// program for another agent, changes one element of the document that was just read. That is not
// read back: if Jenkins drops it, the program refuses to run on the agent of before, and elsewhere
// says so.
func (c *Crew) tie(ctx context.Context, w *work, slot store.Slot) error {
	have, err := c.Jenkins.JobConfig(ctx, slot.Job)
	if jenkins.IsNotFound(err) {
		return c.fill(ctx, w, slot, nil)
	}
	if err != nil {
		return reading.of(slot.Job, err)
	}
	text, err := c.lookThrough(slot.Job, have)
	digest := text.digest
	if _, cut := errors.AsType[*xml.SyntaxError](err); cut {
		return fmt.Errorf("read job %s: %w", slot.Job, err) // an answer that was cut off tells nothing about the job
	}
	switch {
	case err != nil:
		return &refusal{reason: fmt.Sprintf("job %s is not one of pitcrew's: %v", slot.Job, err)}
	case slot.Digest != "" && slot.Pending == "" && digest != slot.Digest:
		return &refusal{reason: fmt.Sprintf("job %s was changed by somebody; pitcrew owns all of it but may be told to write it anew: pitcrew slots reset %s", slot.Job, slot.Job)}
	case slot.Digest == "" && slot.Pending == "" && !c.owns(have):
		return &refusal{reason: fmt.Sprintf("job %s exists and was not made by this pitcrew; rename or delete it", slot.Job)}
	case slot.Digest != digest || slot.Content != w.program.Digest:
		return c.fill(ctx, w, slot, have)
	}
	if text.untied != nil {
		return fmt.Errorf("tie job %s to %s: %w", slot.Job, w.agent.ID.Name, text.untied)
	}
	want, tie, err := text.tie.To(have, w.agent.ID.Name)
	if err != nil {
		return fmt.Errorf("tie job %s: %w", slot.Job, err)
	}
	if bytes.Equal(want, have) {
		return nil
	}
	if err := c.Jenkins.UpdateJob(ctx, slot.Job, want); err != nil {
		return configuring.of(slot.Job, err)
	}
	c.noteSlotText(slot.Job, slotText{sum: sha256.Sum256(want), digest: digest, tie: tie}) // the digest does not depend on the agent
	return nil
}

// slotText is a slot's document that was looked through, with what was found.
type slotText struct {
	sum    [sha256.Size]byte
	digest string
	tie    recipe.Tie
	untied error // why it has no tie
}

// lookThrough reads a slot's document. One that is byte for byte the one that was looked through last, or that was
// written since, is not looked through again: with a large program in it that takes longer than all else.
func (c *Crew) lookThrough(job string, config []byte) (slotText, error) {
	text := slotText{sum: sha256.Sum256(config)}
	c.mu.Lock()
	last, ok := c.slotTexts[job]
	c.mu.Unlock()
	if ok && last.sum == text.sum {
		return last, nil
	}
	var err error
	if text.digest, err = recipe.SlotDigest(config); err != nil {
		return text, err
	}
	text.tie, text.untied = recipe.FindTie(config)
	c.noteSlotText(job, text)
	return text, nil
}

func (c *Crew) noteSlotText(job string, text slotText) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slotTexts[job] = text
}

// errDropped says that the controller answered a write and did nothing; it is tried again.
var errDropped = errors.New("the controller dropped the change")

// fill writes the whole job and reads it back: Jenkins renders documents in its own way, and the
// digest by which a later change is noticed is of what Jenkins answers. Pending marks the time in
// between, in which a crash would leave a document that nobody else wrote.
func (c *Crew) fill(ctx context.Context, w *work, slot store.Slot, have []byte) error {
	want, err := recipe.RenderXML(recipe.JobSpec{
		Name: slot.Job, Agent: w.agent.ID.Name, Owner: c.Owner, Controller: string(c.id), Program: w.program,
	})
	if err != nil {
		return fmt.Errorf("render job %s: %w", slot.Job, err)
	}
	slot.Pending = w.program.Digest
	if err := c.Store.SaveSlot(ctx, slot); err != nil {
		return err
	}
	if have == nil {
		err = creating.of(slot.Job, c.Jenkins.CreateJob(ctx, slot.Job, want))
	} else {
		err = configuring.of(slot.Job, c.Jenkins.UpdateJob(ctx, slot.Job, want))
	}
	if err != nil {
		return err
	}
	back, err := c.Jenkins.JobConfig(ctx, slot.Job)
	if err != nil {
		return reading.of(slot.Job, err)
	}
	if slot.Digest, err = recipe.SlotDigest(back); err != nil {
		return fmt.Errorf("read job %s: %w", slot.Job, err)
	}
	carries := recipe.Carries(back, w.program)
	tied, err := recipe.Retarget(back, w.agent.ID.Name)
	there := carries && err == nil && bytes.Equal(tied, back)
	switch { // unchanged alone is what an earlier write of the same left
	case !there && bytes.Equal(back, have):
		return fmt.Errorf("write job %s: %w", slot.Job, errDropped)
	case !carries:
		return &refusal{reason: fmt.Sprintf("job %s does not carry the program that was written", slot.Job)}
	}
	slot.Content, slot.Pending = slot.Pending, ""
	return c.Store.SaveSlot(ctx, slot)
}

// owns reports whether a job says that it was made by this daemon.
func (c *Crew) owns(config []byte) bool {
	owner, err := recipe.SlotOwner(config)
	return err == nil && owner == c.Owner
}

// refuseSlot keeps a slot from use until a person resets it, says so once, and gives the claim
// back.
func (c *Crew) refuseSlot(ctx context.Context, w *work, slot store.Slot, reason string) error {
	if slot.Refused != reason {
		slot.Refused = reason
		e := event(hygiene.EventSlot, w.agent, reason)
		e.Subject = slot.Job
		e.At = w.now
		if err := c.Store.SaveSlot(ctx, slot); err != nil {
			return err
		}
		if err := c.Store.Append(ctx, w.now, e); err != nil {
			return err
		}
		c.Watch.Changed(e)
	}
	return c.hinder(ctx, w, reason)
}

// checkParameterised looks whether the job that a team keeps as code carries the program that the
// attempt was claimed for.
func (c *Crew) checkParameterised(ctx context.Context, w *work, job string) (string, bool, error) {
	have, err := c.Jenkins.JobConfig(ctx, job)
	if err != nil {
		return "", false, reading.of(job, err)
	}
	if !recipe.Carries(have, w.program) {
		return "", false, c.hinder(ctx, w, fmt.Sprintf("job %s does not carry the program of recipe %s; render it again", job, w.policy.Recipe))
	}
	return job, true, nil
}
