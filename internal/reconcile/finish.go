// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// maxLog bounds how much of a program's output is read.
const maxLog = 8 << 20

// finish reads the report of an ended build and judges it. The console comes whole, after the end:
// progressive reading can lose text.
func (c *Crew) finish(ctx context.Context, w *work, build jenkins.Build) (time.Duration, error) {
	log, truncated, err := c.Jenkins.ConsoleText(ctx, build.Job, build.Number, maxLog)
	if jenkins.IsNotFound(err) {
		return again, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "its build was deleted"})
	}
	if err != nil {
		return rest, err
	}
	if build.Aborted() {
		c.forgetOwner() // somebody stopped it: a person, or another daemon of our name
	}
	if build.BuiltOnKnown && build.BuiltOn != w.agent.ID.Name {
		return again, c.elsewhere(ctx, w, build.BuiltOn, log)
	}
	missing := "its build ended " + build.Result + " without a report"
	if truncated {
		missing = fmt.Sprintf("its log is longer than %d MB and the report is not in it", maxLog>>20)
	}
	return c.judge(ctx, w, build.BuiltOnKnown, log, missing)
}

// elsewhere ends an attempt whose build Jenkins ran on another agent: its job named that one still,
// because Jenkins had dropped our change of it, or somebody changed it back. The program's first act
// was to refuse, so that nothing was done to either agent, and neither is to blame. A report means
// that a program did run, on an agent that calls itself by this one's name: that has to be looked at.
func (c *Crew) elsewhere(ctx context.Context, w *work, on string, log []byte) error {
	if err := c.Store.SaveReport(ctx, w.agent.ID, w.attempt.Number, nil, log); err != nil {
		return err
	}
	_, err := recipe.ParseReport(log, w.attempt.Number, w.attempt.Nonce)
	if fault, ok := errors.AsType[*recipe.ReportError](err); !ok || fault.Fault != recipe.Missing {
		return c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Failed, Reason: fmt.Sprintf("the program ran on %q, not on this agent", on)})
	}
	reason := fmt.Sprintf("not run here: Jenkins ran the build on %q, where the program refused", on)
	if w.attempt.Reconnect > 0 { // its first run did touch the agent
		return c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: reason})
	}
	return c.giveBack(ctx, w, reason)
}

// judge turns the log of an ended program into a verdict and stores both. Missing says what a
// missing report means.
// Placed is true when Jenkins itself has said that the program ran on this agent.
func (c *Crew) judge(ctx context.Context, w *work, placed bool, log []byte, missing string) (time.Duration, error) {
	report, err := recipe.ParseReport(log, w.attempt.Number, w.attempt.Nonce)
	if err != nil {
		return again, c.judgeMissing(ctx, w, log, missing, err)
	}
	if !calls(report.Agent, w.agent.ID.Name, placed) {
		return again, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Failed, Reason: fmt.Sprintf("the program says that it ran on %q", report.Agent)})
	}
	verdict := verdictOf(report, w)
	text, err := json.Marshal(report)
	if err != nil {
		return rest, fmt.Errorf("keep report of %s: %w", w.agent.ID, err)
	}
	said, err := store.NewSaid(text, log)
	if err != nil {
		return rest, fmt.Errorf("keep report of %s: %w", w.agent.ID, err)
	}
	if err := c.keepResidue(ctx, w, report); err != nil {
		return rest, err
	}
	now := time.Now()
	err = c.change(ctx, w.agent.ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if err := c.current(ch, w); err != nil {
			return nil, err
		}
		before := ch.Agent.Quarantine
		a, t, err := hygiene.Judge(ch.Agent, *ch.Attempt, verdict, w.policy, now)
		if err != nil {
			return nil, err
		}
		t.Run.Intent = false
		ch.Agent, ch.Attempt, ch.Said = a, &t, said
		ch.FreeSlot = a.State == hygiene.Granting || !a.State.InProgress() // its program has ended
		return c.judgedEvents(a, t, before, verdict), nil
	})
	if errors.Is(err, hygiene.ErrStale) { // it is recorded all the same
		err = errors.Join(err, c.Store.SaveReport(ctx, w.agent.ID, w.attempt.Number, text, log))
	}
	if err != nil {
		return rest, err
	}
	c.tellResidue(w, report)
	switch a, _, err := c.Store.Agent(ctx, w.agent.ID); {
	case err == nil && a.State == hygiene.Granting:
		c.letIn() // the grant may wait for a neighbour that needs slot and place
		return again, nil
	case err == nil && a.State.InProgress():
		return again, nil
	}
	c.release(ctx, w)
	return again, nil
}

// calls reports whether a program that says that it ran on said ran on the agent called name. A JVM
// whose file encoding cannot express a name passes it on mangled: then Jenkins' own word, placed,
// and what is left of the name must do.
func calls(said, name string, placed bool) bool {
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '?' || r > unicode.MaxASCII {
				return -1
			}
			return r
		}, s)
	}
	return said == name || placed && plain(name) != name && plain(said) == plain(name)
}

func (c *Crew) judgedEvents(a hygiene.Agent, t hygiene.Attempt, before *hygiene.Quarantine, v hygiene.Verdict) []hygiene.Event {
	if a.State == hygiene.Granting {
		return []hygiene.Event{event(hygiene.EventProved, a, "the report says cleaned and verified")}
	}
	if a.State == hygiene.Reconnecting {
		return []hygiene.Event{event(hygiene.EventReconnecting, a, a.Reason)}
	}
	v.Reason, v.Step = t.Reason, t.Step
	return c.endEvents(hygiene.EventFailed, a, before, v)
}

// judgeMissing ends an attempt whose program left no report that proves anything. Where the agent
// or the controller went away in the middle, nobody can tell what happened, and the agent is not
// to blame. An outage that was over before the next poll stands in the build's console alone.
func (c *Crew) judgeMissing(ctx context.Context, w *work, log []byte, missing string, cause error) error {
	verdict := hygiene.Verdict{Outcome: hygiene.Failed, Reason: missing}
	if faulty, ok := errors.AsType[*recipe.ReportError](cause); ok {
		verdict.Reason = missing + ": " + faulty.Detail
		if faulty.Fault != recipe.Missing {
			verdict.Reason = "its report is not to be trusted: " + faulty.Error()
		}
	}
	switch {
	case w.sighting.Offline && !w.sighting.Reached, jenkins.ConnectionLost(log):
		verdict = hygiene.Verdict{Outcome: hygiene.Lost, Reason: "its connection was lost in the middle"}
	case w.look.Session != w.attempt.Session:
		verdict = hygiene.Verdict{Outcome: hygiene.Lost, Reason: "the controller was restarted in the middle"}
	}
	if err := c.Store.SaveReport(ctx, w.agent.ID, w.attempt.Number, nil, log); err != nil {
		return err
	}
	return c.end(ctx, w, verdict)
}

// verdictOf says in the domain's words what a report says.
func verdictOf(r recipe.Report, w *work) hygiene.Verdict {
	v := hygiene.Verdict{
		Number: r.Attempt, Nonce: w.attempt.Nonce, On: w.agent.ID.Name,
		Outcome: hygiene.Outcome(r.Outcome), Verified: r.Verified, Reason: r.Reason, Step: failedStep(r),
		Machine: r.Machine.ID, Host: r.Machine.Hostname, BootID: r.Machine.BootID, Uptime: r.Machine.Up(), Process: process(r.AgentProcess),
	}
	switch {
	case r.Controller != string(w.agent.ID.Controller):
		v.Outcome, v.Verified, v.Reason = hygiene.Failed, false, "the report is of another controller"
	case r.Revision != w.attempt.Revision:
		v.Outcome, v.Verified, v.Reason = hygiene.Failed, false, fmt.Sprintf("the report is of revision %.12s, not of %.12s", r.Revision, w.attempt.Revision)
	case w.program != nil && w.program.Matches(r) != nil:
		v.Outcome, v.Verified, v.Reason = hygiene.Failed, false, w.program.Matches(r).Error()
	case v.Outcome != hygiene.Failed && tooLight(r, w.attempt) != "":
		v.Outcome, v.Verified, v.Reason = hygiene.Failed, false, tooLight(r, w.attempt)
	case w.attempt.Reconnect == 0 || v.Outcome != hygiene.Cleaned:
	default:
		if why := unproved(w.attempt, v); why != "" {
			v.Outcome, v.Verified, v.Reason, v.Permanent = hygiene.Failed, false, why, true
		}
	}
	return v
}

// tooLight says why a report does not prove the depth that its attempt was claimed for, "" when it does.
func tooLight(r recipe.Report, t hygiene.Attempt) string {
	if r.Depth.Covers(t.Depth) {
		return ""
	}
	return fmt.Sprintf("it was to clean %s, and its report is of depth %q: its job must hand the parameter %s on", t.Depth, r.Depth, paramDepth)
}

// unproved says why a verify report does not prove that the session it ran in is a new one, "" when
// it does. Without evidence on either side nothing is proved.
func unproved(t hygiene.Attempt, v hygiene.Verdict) string {
	before := t.Run
	switch {
	case t.Asked == hygiene.Reboot && (before.BootID == "" || v.BootID == ""):
		return "a reboot cannot be proved here: the machine shows no boot id"
	case t.Asked == hygiene.Reboot && before.BootID == v.BootID:
		return "the machine was not rebooted: its boot id is the same"
	case t.Asked == hygiene.Reconnect && (before.Process == "" || v.Process == "") && before.BootID == v.BootID:
		return "a reconnect cannot be proved here: the program does not find the agent process that it descends from"
	case t.Asked == hygiene.Reconnect && sameProgram(before.Process, v.Process) && before.BootID == v.BootID:
		return "the agent process was not restarted, nor did it begin anew in its place: run it with -noReconnect under a supervisor (such as systemd) that starts it again"
	}
	return ""
}

// failedStep is the first step that failed, "" when none did.
func failedStep(r recipe.Report) string {
	for _, s := range r.Steps {
		if s.Outcome == recipe.StepFailed || s.Outcome == recipe.StepTimeout {
			return s.Name
		}
	}
	return ""
}

// process identifies an agent process, "" when the report does not.
func process(p recipe.AgentProcess) string {
	if p.PID == 0 {
		return ""
	}
	text := fmt.Sprintf("%d started %s", p.PID, p.Start)
	if p.Image != "" {
		text += imageOf + p.Image
	}
	return text
}

// imageOf separates, in what names an agent process, the process from the program that it is now.
const imageOf = ", image "

// sameProgram reports whether two names of agent processes on one boot are those of one program: of one
// process that has not begun anew in its place, as far as both tell.
func sameProgram(a, b string) bool {
	a, imageA, _ := strings.Cut(a, imageOf)
	b, imageB, _ := strings.Cut(b, imageOf)
	return a == b && (imageA == imageB || imageA == "" || imageB == "")
}

// driveGranting writes clean for a proven attempt, as soon as a look that is newer than the proof
// says that nothing came in between.
func (c *Crew) driveGranting(ctx context.Context, w *work) (time.Duration, error) {
	if wait := w.attempt.Proved.Sub(w.now); wait >= 0 {
		return wait + time.Millisecond, nil // the look must be younger than the proof
	}
	fresh, err := c.freshLook(ctx, w)
	if err != nil {
		return rest, err
	}
	switch ready, reason := hygiene.MayGrant(w.agent, w.attempt, fresh, w.policy, time.Now()); ready {
	case hygiene.GrantLater:
		return grantRetry, nil
	case hygiene.GrantWait:
		return rest, nil
	case hygiene.GrantNever:
		return again, c.ungranted(ctx, w, reason, fresh.Real || w.attempt.Run.Used != "")
	case hygiene.GrantNow:
	}
	switch b, err := c.learn(ctx, w.agent.ID, w.now); {
	case err != nil:
		return rest, err // tried again with back-off, for as long as the domain says that a grant waits
	case b != nil:
		// It was over before this look, and started after the program had ended.
		return again, c.ungranted(ctx, w, "a build ran on it since it was cleaned: "+b.URL, true)
	}
	if cleaned, err := c.machineCleaned(ctx, w); err != nil || cleaned {
		return rest, err
	}
	if c.triedBefore(w.agent.ID.Name) { // perhaps the store refused: clean must not be shown and taken off again each time
		if err := c.wroteLabels(ctx, w.agent.ID); err != nil {
			return rest, err
		}
	}
	if wait, ok, err := c.open(ctx, w); !ok || err != nil {
		return wait, err
	}
	if cleaned, err := c.machineCleaned(ctx, w); err != nil || cleaned { // claimed before it could see the label
		c.unlabel(ctx, w.agent.ID.Name)
		return rest, err
	}
	err = c.granted(ctx, w)
	if err != nil {
		c.unlabel(ctx, w.agent.ID.Name)
	}
	if errors.Is(err, hygiene.ErrOvertaken) {
		return again, c.ungranted(ctx, w, err.Error(), true)
	}
	return again, err
}

// open lets real builds onto the agent: by the gate, or by labels. It answers false when that has to wait, or after it ended
// the attempt.
func (c *Crew) open(ctx context.Context, w *work) (wait time.Duration, ok bool, err error) {
	if w.gated() {
		switch answer, err := c.grantByGate(ctx, w); {
		case err != nil:
			return rest, false, err
		case answer == gate.OK:
			return again, true, nil
		case answer == gate.Busy:
			return grantRetry, false, nil
		default:
			reason, used := whyNotGranted(answer)
			return again, false, c.ungranted(ctx, w, reason, used)
		}
	}
	err = c.show(ctx, w, hygiene.ShowClean, func(n jenkins.NodeConfig) error {
		have := w.settings.Labels.Read(n.Labels)
		if have != hygiene.ShowClean && have != hygiene.ShowDirty {
			return &refusal{reason: fmt.Sprintf("its labels are %s, somebody changed them", have)}
		}
		return c.fitness(w)(n)
	})
	if refused, ok := errors.AsType[*refusal](err); ok {
		return again, false, c.ungranted(ctx, w, refused.reason, false)
	}
	return rest, err == nil, err
}

// machineCleaned reports whether another agent of the machine has been claimed since the decision. A
// claim is stored before its agent looks for neighbours with the label clean, and clean is written
// before this looks for claims, so that one of the two sees the other.
func (c *Crew) machineCleaned(ctx context.Context, w *work) (bool, error) {
	if w.policy.Disjoint {
		return false, nil
	}
	for _, name := range w.sighting.Neighbour.Names {
		a, _, err := c.Store.Agent(ctx, c.agentID(name))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		if err == nil && hygiene.OneMachine(a, w.agent) && holdsPlace(a.State) {
			return true, nil
		}
	}
	return false, nil
}

// grantRetry is how soon a grant is tried again while the executor of the cleanup is not free yet,
// which takes Jenkins some 100 ms after the build's end.
const grantRetry = 250 * time.Millisecond

// ungranted ends a proven attempt that cannot be granted any more. The agent did nothing wrong.
func (c *Crew) ungranted(ctx context.Context, w *work, reason string, used bool) error {
	return c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: reason, Unused: !used})
}

// granted stores the success: clean was written and read back.
func (c *Crew) granted(ctx context.Context, w *work) error {
	now := time.Now()
	err := c.change(ctx, w.agent.ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if err := c.current(ch, w); err != nil {
			return nil, err
		}
		released := ch.Agent.Quarantine != nil
		a, t, err := hygiene.Grant(ch.Agent, *ch.Attempt, ch.Epoch, now)
		if err != nil {
			return nil, err
		}
		a.LabelsAt = now
		ch.Agent, ch.Attempt, w.attempt, ch.FreeSlot = a, &t, t, true // unless it was, with the proof
		events := []hygiene.Event{event(hygiene.EventGranted, a, a.Reason)}
		if released {
			events = append(events, event(hygiene.EventReleased, a, "cleaned"))
		}
		if url := t.Run.Used; url != "" { // let in by the label, and perhaps gone before the next look
			l := loss{need: hygiene.NeedCleanup, use: &hygiene.Use{URL: url, At: now}, reason: "used by " + url}
			lost, err := l.take(ch, c.theirs(now), now)
			return append(events, lost...), err
		}
		return events, nil
	})
	if err != nil {
		return err
	}
	if w.attempt.Run.Used != "" {
		c.unlabel(ctx, w.agent.ID.Name)
	}
	c.release(ctx, w)
	return nil
}
