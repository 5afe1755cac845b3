// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// use is something that is done with a job of ours, and the permission that Jenkins asks for it.
type use struct{ verb, permission string }

var (
	reading     = use{"read the configuration of", "Job/ExtendedRead or Job/Configure"}
	creating    = use{"create", "Job/Create"}
	configuring = use{"configure", "Job/Configure"}
	building    = use{"build", "Job/Build"}
)

// failedUse is the error of a use of a job.
type failedUse struct {
	use
	job string
	err error
}

// of returns the error of a use that ended with err, nil for nil.
func (u use) of(job string, err error) error {
	if err == nil {
		return nil
	}
	return &failedUse{use: u, job: job, err: err}
}

func (f *failedUse) Error() string { return fmt.Sprintf("%s job %s: %v", f.verb, f.job, f.err) }
func (f *failedUse) Unwrap() error { return f.err }

// inWords puts what stands in the way of a job before an error that came of it.
func inWords(err error, s *Settings) error {
	if failed, ok := errors.AsType[*failedUse](err); ok && failed.hindrance(s) != "" {
		return fmt.Errorf("%s (%w)", failed.hindrance(s), failed.err)
	}
	return err
}

// hindered gives the claim back when a job of ours cannot be used until an administrator does
// something, and says what. Any other error is passed on, to be tried again.
func (c *Crew) hindered(ctx context.Context, w *work, err error) error {
	failed, ok := errors.AsType[*failedUse](err)
	if !ok {
		return err
	}
	reason := failed.hindrance(w.settings)
	if reason == "" {
		return err
	}
	c.Log.WarnContext(ctx, "cleanup cannot be handed over", "agent", w.agent.ID.Name, "attempt", w.attempt.Number, "reason", reason, "err", err)
	return c.hinder(ctx, w, reason)
}

// hinder gives the claim back because of something that stays in the way until a person does something about it: the
// agent is tried again less and less often, for trying costs requests and leaves attempts behind.
func (c *Crew) hinder(ctx context.Context, w *work, reason string) error {
	return c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.GivenBack, Reason: reason, Hindered: 1})
}

// hindrance says what stands in the way, in words that an administrator can act on; "" when it may
// go away by itself. Jenkins answers 404 alike for what is not there and for what a user may not see.
func (f *failedUse) hindrance(s *Settings) string {
	switch kind := jenkins.KindOf(f.err); {
	case kind == jenkins.KindForbidden:
		return fmt.Sprintf("pitcrew may not %s job %s: grant its user %s", f.verb, f.job, f.permission)
	case kind == jenkins.KindNotFound && f.job == s.Jobs.Parameterised:
		return fmt.Sprintf("there is no job %s, or pitcrew may not see it: create it (pitcrew recipe render), grant Job/Read, or change jobs.name", f.job)
	case kind == jenkins.KindNotFound && f.use == creating && path.Dir(f.job) != ".":
		return fmt.Sprintf("job %s cannot be created: there is no folder %s, or pitcrew may not see it; create it, grant Job/Read, or change jobs.folder", f.job, path.Dir(f.job))
	case kind == jenkins.KindNotFound && f.use != reading:
		return fmt.Sprintf("job %s is gone: somebody deletes or moves it", f.job)
	case kind == jenkins.KindConflict && f.use == building:
		return fmt.Sprintf("job %s is disabled: enable it", f.job)
	case kind == jenkins.KindConflict && f.use == creating:
		return fmt.Sprintf("there is a job %s that pitcrew may not see: grant Job/Read on it, or delete it", f.job)
	}
	return ""
}
