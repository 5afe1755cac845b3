// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

//go:embed shell/kill.sh
var killProgram string

// fault is what the candidate did wrong.
type fault struct{ reason string }

func (f *fault) Error() string { return f.reason }

func faulty(format string, args ...any) error { return &fault{fmt.Sprintf(format, args...)} }

// skip is why a case cannot be tried here.
type skip struct{ reason string }

func (s *skip) Error() string { return s.reason }

// try runs a case and notes what became of it. It reports whether it was passed. After an interruption nothing is tried any more.
func (b *bench) try(ctx context.Context, name string, f func(context.Context, *report.Case) error) bool {
	if ctx.Err() != nil {
		return false
	}
	b.say("%s: begins", name)
	began := time.Now()
	c := report.Case{Name: name, Verdict: report.Passed}
	err := f(ctx, &c)
	c.Duration = time.Since(began)
	wrong, isFault := errors.AsType[*fault](err)
	missing, isSkip := errors.AsType[*skip](err)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		c.Verdict, c.Reason = report.Broken, context.Cause(ctx).Error()
	case isFault:
		c.Verdict, c.Reason = report.Failed, wrong.reason
	case isSkip:
		c.Verdict, c.Reason = report.Skipped, missing.reason
	default:
		c.Verdict, c.Reason = report.Broken, err.Error()
	}
	b.note(c)
	return c.Verdict == report.Passed
}

// The cases, in their order. The production recipe comes first: what the candidate adds or takes away shows against it.
const (
	caseProduction = "production recipe"
	caseFirst      = "on the agent as it is"
	caseAgain      = "again at once"
	caseMess       = "after a mess"
	caseStopped    = "after a run that was stopped"
	caseKilled     = "after a run that was killed"
	caseReturn     = "comes back clean"
)

// sequence tries everything on an agent that is there.
func (b *bench) sequence(ctx context.Context) {
	var production *recipe.Program
	var base, first *state.State
	b.try(ctx, caseProduction, func(ctx context.Context, c *report.Case) (err error) {
		production = cmp.Or(b.Against, b.production[b.offer.Pool])
		b.found.Against = report.Recipe{Name: production.Recipe, Revision: production.Revision}
		if err := b.clean(ctx, c, production); err != nil {
			production = nil
			return notComparable(err)
		}
		base, err = b.state(ctx)
		return err
	})
	cleaned := b.try(ctx, caseFirst, func(ctx context.Context, c *report.Case) (err error) {
		if err := b.clean(ctx, c, b.Candidate); err != nil {
			return err
		}
		first, err = b.state(ctx)
		return err
	})
	if cleaned && base != nil {
		b.found.Compared, b.found.Differences = true, b.compare(base, first)
	}
	if !cleaned {
		return // what it does after more cannot be told from what it does anyway
	}
	b.try(ctx, caseAgain, func(ctx context.Context, c *report.Case) error { return b.again(ctx, c, first) })
	b.try(ctx, caseMess, func(ctx context.Context, c *report.Case) error { return b.mess(ctx, c, production) })
	b.try(ctx, caseStopped, func(ctx context.Context, c *report.Case) error { return b.stopped(ctx, c) })
	b.try(ctx, caseKilled, func(ctx context.Context, c *report.Case) error { return b.killed(ctx, c) })
}

// notComparable makes a failure of the production recipe what it is: no word about the candidate.
func notComparable(err error) error {
	if f, ok := errors.AsType[*fault](err); ok {
		return &skip{"it does not clean this agent as the borrowed program's account, so that nothing is compared with it: " + f.reason}
	}
	return err
}

// clean runs a program and holds that it cleaned. One that asks for a reconnect is verified in the same session: the agent of a loan does not come back.
func (b *bench) clean(ctx context.Context, c *report.Case, p *recipe.Program) error {
	_, err := b.run(ctx, c, p)
	return err
}

func (b *bench) run(ctx context.Context, c *report.Case, p *recipe.Program) (recipe.Report, error) {
	ran, done, err := b.attempt(ctx, p, "all", nil)
	keep(c, done.log)
	if err == nil && ran.Outcome == recipe.Reconnect {
		c.Reason = "it asks for a reconnect (" + ran.Reason + "), which a loan does not survive: verified without"
		ran, done, err = b.attempt(ctx, p, "verify", nil)
		keep(c, done.log)
	}
	if err == nil {
		tell(c, ran)
		return ran, judge(ran)
	}
	if _, wrong := errors.AsType[*recipe.ReportError](err); wrong && ctx.Err() == nil {
		if lost := b.lost(ctx); lost != nil {
			return ran, lost
		}
		return ran, faulty("its build ended %s without a report that counts: %v", done.Result, err)
	}
	return ran, err
}

func judge(r recipe.Report) error {
	switch {
	case r.Outcome == recipe.Reboot:
		return faulty("it reboots the machine (%s), which a loan does not survive: it cannot be rehearsed", r.Reason)
	case r.Outcome != recipe.Cleaned:
		return faulty("it ended %s: %s", r.Outcome, r.Reason)
	case !r.Verified:
		return faulty("it proved nothing: its verify phase was not reached, or has no step that applies here")
	}
	return nil
}

// again runs the candidate on an agent that it has just cleaned: there must be nothing for it to do.
func (b *bench) again(ctx context.Context, c *report.Case, first *state.State) error {
	ran, err := b.run(ctx, c, b.Candidate)
	if err != nil {
		return err
	}
	second, err := b.state(ctx)
	if err != nil {
		return err
	}
	var news []string
	for _, step := range ran.Steps {
		if step.Scrub != nil && step.Scrub.State == spec.Changed {
			c.ChangedSteps = append(c.ChangedSteps, step.Name)
			news = append(news, fmt.Sprintf("step '%s' had something to do again", step.Name))
		}
	}
	c.Differences = b.compare(first, second)
	for _, d := range c.Differences {
		news = append(news, d.String())
	}
	if len(news) > 0 {
		return faulty("the second run changed something: %s", some(news))
	}
	return nil
}

// some is the beginning of a list, all of which is in the report.
func some(all []string) string {
	const most = 3
	if more := len(all) - most; more > 0 {
		return strings.Join(all[:most], "; ") + fmt.Sprintf("; and %d more", more)
	}
	return strings.Join(all, "; ")
}

// state looks at the machine.
func (b *bench) state(ctx context.Context) (*state.State, error) {
	nonce := strings.ToLower(rand.Text())
	var script strings.Builder
	owned := strings.ReplaceAll(strings.Join(b.Owned, "\n"), spec.AgentWord, b.node)
	fmt.Fprintf(&script, "#!/bin/sh\nSTATE_NONCE=%s STATE_PATHS=%s\nexport STATE_NONCE STATE_PATHS\n%s", nonce, recipe.ShellQuote(owned), state.Script())
	done, err := b.shell(ctx, "state", script.String())
	if err != nil {
		return nil, err
	}
	s, err := state.Parse(done.log, nonce)
	if err != nil {
		return nil, fmt.Errorf("look at the machine: %w; its build ended %s", err, done.Result)
	}
	return &s, nil
}

// ignored is what makes no difference, the traces of this very loan among it.
func (b *bench) ignored() state.Ignore {
	own := state.Ignore{
		Mounts: []string{"*/pitcrew-loan-" + b.loan.ID + "*"}, Files: []string{"*/pitcrew-loan-" + b.loan.ID + "*"},
	}
	return state.DefaultIgnore().And(b.offer.Ignore).And(b.Ignore).And(own)
}

func (b *bench) compare(before, after *state.State) []state.Difference {
	return state.Compare(*before, *after, b.ignored())
}

// stopped runs the candidate, has its build stopped in the middle, and runs it again: that must clean.
func (b *bench) stopped(ctx context.Context, c *report.Case) error {
	_, done, err := b.attempt(ctx, b.Candidate, "all", func(ctx context.Context, job string, number int64) error {
		if err := b.midst(ctx, job, number); err != nil {
			return err
		}
		return b.patiently(ctx, func() error { return b.Jenkins.StopBuild(ctx, job, number) })
	})
	keep(c, done.log)
	if _, noReport := errors.AsType[*recipe.ReportError](err); err == nil {
		return &skip{"the run was over before it could be stopped in the middle"}
	} else if !noReport {
		return err
	}
	_, err = b.run(ctx, c, b.Candidate)
	return err
}

// stepBegins is what a program says when it begins a step.
var stepBegins = regexp.MustCompile(`(?m)^pitcrew: \w+ '.*' begins`)

// midst waits until a step of a running build has begun, or the build is over.
func (b *bench) midst(ctx context.Context, job string, number int64) error {
	for {
		log, _, err := b.Jenkins.ConsoleText(ctx, job, number, maxLog)
		if err == nil && stepBegins.Match(log) {
			return nil
		}
		if info, err := b.Jenkins.BuildInfo(ctx, job, number); err == nil && !info.Building {
			return nil
		}
		if err := pause(ctx, buildPoll/5); err != nil {
			return err
		}
	}
}

// killed has another build on the same agent kill the program alone, as soon as it is at a step.
func (b *bench) killed(ctx context.Context, c *report.Case) error {
	hunting, stop := context.WithCancel(ctx)
	defer stop()
	begun, ended := make(chan struct{}), make(chan struct{})
	var killer built
	var failed error
	go func() {
		defer close(ended)
		killer, failed = b.build(hunting, b.shellJob("kill", killProgram), shellParams, nil, func(ctx context.Context, job string, number int64) error {
			close(begun)
			return nil
		})
	}()
	defer func() { <-ended }()
	defer stop()
	select {
	case <-begun:
	case <-ended:
		return failed
	}
	_, done, err := b.attempt(ctx, b.Candidate, "all", nil)
	keep(c, done.log)
	if _, noReport := errors.AsType[*recipe.ReportError](err); err != nil && !noReport {
		return err
	}
	if err == nil { // nobody hunts any more
		stop()
	}
	<-ended
	_, reason, _ := strings.Cut(string(killer.log), "\nkill skipped: ")
	reason, _, _ = strings.Cut(reason, "\n")
	switch {
	case reason != "":
		return &skip{strings.TrimSpace(reason)}
	case err == nil:
		return &skip{"the run was over before it could be killed in the middle"}
	case failed != nil:
		return failed
	}
	return b.clean(ctx, c, b.Candidate)
}
