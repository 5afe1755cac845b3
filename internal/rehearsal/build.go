// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
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
	if !b.Keep {
		b.undo.Push("job "+name+" at "+b.Jenkins.URL(), b.there(func(ctx context.Context) error {
			if err := b.Jenkins.DeleteJob(ctx, name); err != nil && !jenkins.IsNotFound(err) {
				return err
			}
			return nil
		}))
	}
	asked := false
	return b.patiently(ctx, func() error {
		err := untilAnswered(ctx, func(ctx context.Context) error { return b.Jenkins.CreateJob(ctx, name, document) })
		if asked && jenkins.IsConflict(err) {
			return nil // by the request before, whose answer was lost
		}
		asked = true
		return err
	})
}

// patiently makes a request again until the controller answers. How long that may be away the watch knows, which ends ctx before this gives
// up, however long its own request takes: that is for a controller that answers others.
func (b *bench) patiently(ctx context.Context, request func() error) error {
	away := absence{limit: 2*b.TTL + time.Minute}
	for {
		began := time.Now()
		err := request()
		if !jenkins.IsRetryable(err) || errors.Is(err, jenkins.ErrTooLarge) || away.passed(true, began) || pause(ctx, buildPoll) != nil {
			return err
		}
	}
}

// untilAnswered makes a request for something that is taken back in the end. It is answered in any case, within the client's limit: the
// controller makes what it was asked for when nobody waits any more, too, and that may be after it was taken back.
func untilAnswered(ctx context.Context, request func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return request(context.WithoutCancel(ctx))
}

// These tell builds of one job apart, of a script and of a program: equal items of the queue are merged.
const (
	runParameter     = "PITCREW_REHEARSAL_RUN"
	attemptParameter = "PITCREW_ATTEMPT"
)

var shellParams = map[string]string{runParameter: "1"}

// shell runs a script on the agent, as the borrowed program's account, and returns what it printed.
func (b *bench) shell(ctx context.Context, what, script string) (built, error) {
	done, err := b.build(ctx, b.shellJob(what, script), shellParams, nil, nil)
	if err == nil && done.Result != "SUCCESS" {
		err = b.lost(ctx)
	}
	return done, err
}

// shellJob makes a job of a script.
func (b *bench) shellJob(what, script string) jobMaker {
	return func(ctx context.Context) (string, error) {
		name := b.unique(what)
		return name, b.create(ctx, name, recipe.FreeStyle{
			Description: "Part of a rehearsal by pitcrew; it is deleted in the end.", Agent: b.node, KeepBuilds: 2, Shell: script,
			Parameters: []recipe.Parameter{{Name: runParameter, Description: "Number of the run."}},
		}.XML())
	}
}

// attempt runs a program as a cleanup, and reads its report. A report that is missing or wrong is told by err, with what the build printed.
func (b *bench) attempt(ctx context.Context, p *recipe.Program, phases string, during func(context.Context, string, int64) error) (recipe.Report, built, error) {
	b.number++
	nonce := rand.Text()
	params := map[string]string{
		"PITCREW_AGENT": b.node, "PITCREW_CONTROLLER": controllerName, attemptParameter: strconv.FormatInt(b.number, 10),
		"PITCREW_NONCE": nonce, "PITCREW_PHASES": phases, "PITCREW_DEPTH": string(b.Depth),
	}
	var file *jenkins.File
	if p.ByFile() {
		file = &jenkins.File{Param: recipe.FileParameter, Name: p.FileName(), Content: p.Text}
	}
	job := func(ctx context.Context) (string, error) { return b.job(ctx, p) }
	done, err := b.build(ctx, job, params, file, during)
	if err != nil {
		return recipe.Report{}, done, err
	}
	report, err := recipe.ParseReport(done.log, b.number, nonce)
	return report, done, err
}

// jobMaker makes a job where there is none yet, and names it.
type jobMaker func(context.Context) (string, error)

// build builds a job and waits for its end. During is called once it has begun, and the build is waited for whatever it
// returns. When ctx ends the build is stopped first.
func (b *bench) build(ctx context.Context, maker jobMaker, params map[string]string, file *jenkins.File, during func(context.Context, string, int64) error) (built, error) {
	limit, cancel := context.WithTimeoutCause(ctx, b.RunLimit, fmt.Errorf("it took longer than %s", b.RunLimit))
	defer cancel()
	job, id, err := b.queue(limit, maker, params, file)
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
	var log []byte
	err = b.patiently(ctx, func() (err error) {
		log, _, err = b.Jenkins.ConsoleText(ctx, job, number, maxLog)
		return err
	})
	return built{info, log}, errors.Join(err, failed)
}

// queue puts a build into the queue. Where the answer is lost the build is looked for. Where it is not there the request may still be on its
// way, and would have it run beside another later: its job is deleted, and a new one is built.
func (b *bench) queue(ctx context.Context, maker jobMaker, params map[string]string, file *jenkins.File) (job string, id int64, err error) {
	for range 2 {
		if job, err = maker(ctx); err != nil {
			return job, 0, err
		}
		id, err = b.Jenkins.Build(ctx, job, params, file)
		if !jenkins.IsRetryable(err) {
			return job, id, err
		}
		unread := b.patiently(ctx, func() (err error) {
			id, err = b.queued(ctx, job, params[attemptParameter])
			return err
		})
		if unread == nil && id != 0 {
			return job, id, nil
		}
		maps.DeleteFunc(b.jobs, func(_, name string) bool { return name == job })
		if unread == nil {
			unread = b.patiently(ctx, func() error { return b.Jenkins.DeleteJob(ctx, job) })
		}
		if unread != nil && !jenkins.IsNotFound(unread) {
			return job, 0, err
		}
	}
	return job, 0, err
}

// queued looks for the build of a job, which has one of each attempt. It answers 0 where there is none.
func (b *bench) queued(ctx context.Context, job, attempt string) (int64, error) {
	queue, err := b.Jenkins.Queue(ctx)
	if err != nil {
		return 0, err
	}
	for _, item := range queue.Items {
		if item.Job == job {
			return item.ID, nil // whatever was asked for before has ended
		}
	}
	builds, err := b.Jenkins.RecentBuilds(ctx, job)
	for _, x := range builds {
		if x.Params[attemptParameter] == attempt {
			return x.QueueID, nil
		}
	}
	return 0, err
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
