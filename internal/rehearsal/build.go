// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

const (
	buildPoll = 500 * time.Millisecond
	maxLog    = 8 << 20
	// stopWithin bounds the wait for a build that was stopped.
	stopWithin = 30 * time.Second
)

// controllerName is what programs are told to run for: no lender is called so, which a loan's cleanup could mistake for its own.
const controllerName = "pitcrew-rehearsal"

// built is a build that has ended.
type built struct {
	jenkins.Build
	log []byte
}

// job makes a job of a program, and takes it back in the end. Labels are told to it as those of the agent in production:
// the node itself has none, because it may stand in a controller where others ask for them.
func (b *bench) job(ctx context.Context, p *recipe.Program) (string, error) {
	if name, ok := b.jobs[p.Digest]; ok {
		return name, nil
	}
	name := b.unique("run")
	document, err := recipe.RenderXML(recipe.JobSpec{
		Name: name, Program: p, Controller: controllerName, Owner: b.node, Agent: b.node, NodeLabels: append([]string{}, b.offer.Labels...),
	})
	if err != nil {
		return "", err
	}
	if err := b.create(ctx, name, document); err != nil {
		return "", err
	}
	b.jobs[p.Digest] = name
	return name, nil
}

// create makes a job that is deleted in the end.
func (b *bench) create(ctx context.Context, name string, document []byte) error {
	request := func(ctx context.Context) error { return b.Jenkins.CreateJob(ctx, name, document) }
	if b.Keep {
		return request(ctx)
	}
	b.undo.Push("job "+name+" at "+b.Jenkins.URL(), b.there(func(ctx context.Context) error {
		if err := b.Jenkins.DeleteJob(ctx, name); err != nil && !jenkins.IsNotFound(err) {
			return err
		}
		return nil
	}))
	return untilAnswered(ctx, request)
}

// untilAnswered makes a request for something that is taken back in the end. It is answered in any case, within the client's limit: the
// controller makes what it was asked for when nobody waits any more, too, and that may be after it was taken back.
func untilAnswered(ctx context.Context, request func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return request(context.WithoutCancel(ctx))
}

// runParameter tells builds of one job apart: equal items of the queue are merged.
const runParameter = "PITCREW_REHEARSAL_RUN"

var shellParams = map[string]string{runParameter: "1"}

// shell runs a script on the agent, as the borrowed program's account, and returns what it printed.
func (b *bench) shell(ctx context.Context, what, script string) (built, error) {
	name, err := b.shellJob(ctx, what, script)
	if err != nil {
		return built{}, err
	}
	done, err := b.build(ctx, name, shellParams, nil, nil)
	if err == nil && done.Result != "SUCCESS" {
		err = b.lost(ctx)
	}
	return done, err
}

// shellJob makes a job of a script.
func (b *bench) shellJob(ctx context.Context, what, script string) (string, error) {
	name := b.unique(what)
	return name, b.create(ctx, name, recipe.FreeStyle{
		Description: "Part of a rehearsal by pitcrew; it is deleted in the end.", Agent: b.node, KeepBuilds: 2, Shell: script,
		Parameters: []recipe.Parameter{{Name: runParameter, Description: "Number of the run."}},
	}.XML())
}

// attempt runs a program as a cleanup, and reads its report. A report that is missing or wrong is told by err, with what the build printed.
func (b *bench) attempt(ctx context.Context, p *recipe.Program, phases string, during func(context.Context, string, int64) error) (recipe.Report, built, error) {
	job, err := b.job(ctx, p)
	if err != nil {
		return recipe.Report{}, built{}, err
	}
	b.number++
	nonce := rand.Text()
	params := map[string]string{
		"PITCREW_AGENT": b.node, "PITCREW_CONTROLLER": controllerName, "PITCREW_ATTEMPT": strconv.FormatInt(b.number, 10),
		"PITCREW_NONCE": nonce, "PITCREW_PHASES": phases, "PITCREW_DEPTH": string(b.Depth),
	}
	var file *jenkins.File
	if p.ByFile() {
		file = &jenkins.File{Param: recipe.FileParameter, Name: p.FileName(), Content: p.Text}
	}
	done, err := b.build(ctx, job, params, file, during)
	if err != nil {
		return recipe.Report{}, done, err
	}
	report, err := recipe.ParseReport(done.log, b.number, nonce)
	return report, done, err
}

// build builds a job and waits for its end. During is called once it has begun, and the build is waited for whatever it
// returns. When ctx ends the build is stopped first.
func (b *bench) build(ctx context.Context, job string, params map[string]string, file *jenkins.File, during func(context.Context, string, int64) error) (built, error) {
	limit, cancel := context.WithTimeoutCause(ctx, b.RunLimit, fmt.Errorf("it took longer than %s", b.RunLimit))
	defer cancel()
	id, err := b.Jenkins.Build(limit, job, params, file)
	if err != nil {
		return built{}, err
	}
	number, err := b.begun(limit, job, id)
	if err != nil {
		b.stop(ctx, job, id, 0)
		return built{}, err
	}
	var failed error
	if during != nil {
		failed = during(limit, job, number)
	}
	info, err := b.ended(limit, job, number)
	if err != nil {
		b.stop(ctx, job, id, number)
		return built{}, err
	}
	log, _, err := b.Jenkins.ConsoleText(ctx, job, number, maxLog)
	return built{info, log}, errors.Join(err, failed)
}

// begun waits until an item of the queue has become a build.
func (b *bench) begun(ctx context.Context, job string, id int64) (int64, error) {
	for {
		item, err := b.Jenkins.QueueItem(ctx, id)
		switch {
		case err == nil && item.Executable != nil:
			return item.Executable.Number, nil
		case err == nil && item.Cancelled:
			return 0, fmt.Errorf("build of %s was taken out of the queue by somebody", job)
		case jenkins.IsNotFound(err):
			builds, err := b.Jenkins.RecentBuilds(ctx, job)
			if i := slices.IndexFunc(builds, func(x jenkins.Build) bool { return x.QueueID == id }); err == nil && i >= 0 {
				return builds[i].Number, nil
			}
		case err != nil && !jenkins.IsRetryable(err):
			return 0, fmt.Errorf("wait for the build of %s: %w", job, err)
		}
		if err := pause(ctx, buildPoll); err != nil {
			return 0, fmt.Errorf("wait for the build of %s to begin: %w", job, err)
		}
	}
}

// ended waits for the end of a build.
func (b *bench) ended(ctx context.Context, job string, number int64) (jenkins.Build, error) {
	for {
		info, err := b.Jenkins.BuildInfo(ctx, job, number)
		if err == nil && !info.Building {
			return info, nil
		}
		if err != nil && !jenkins.IsRetryable(err) && ctx.Err() == nil {
			return info, fmt.Errorf("look at build %d of %s: %w", number, job, err)
		}
		if err := pause(ctx, buildPoll); err != nil {
			return info, fmt.Errorf("wait for build %d of %s: %w", number, job, err)
		}
	}
}

// stop ends a build that nobody waits for any more, so that what is undone next finds the agent at rest. What it cannot
// end, the end of the loan does.
func (b *bench) stop(ctx context.Context, job string, id, number int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if number == 0 {
		if b.Jenkins.CancelQueueItem(ctx, id) == nil {
			return
		}
		item, err := b.Jenkins.QueueItem(ctx, id)
		if err != nil || item.Executable == nil {
			return
		}
		number = item.Executable.Number
	}
	if b.Jenkins.StopBuild(ctx, job, number) == nil {
		_, _ = b.ended(ctx, job, number) // the loan ends it otherwise
	}
}

// pause waits, and returns why ctx ended if it did first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
