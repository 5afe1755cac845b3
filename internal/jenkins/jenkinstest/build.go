// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
	"strconv"
	"time"
)

// Results of builds.
const (
	resultSuccess  = "SUCCESS"
	resultUnstable = "UNSTABLE"
	resultFailure  = "FAILURE"
	resultNotBuilt = "NOT_BUILT"
	resultAborted  = "ABORTED"
)

// build is one run of a job. Its fields are guarded by the queue lock.
type build struct {
	job      *job
	number   int
	queueID  int64
	params   []param
	causes   []buildCause
	started  time.Time
	duration time.Duration

	result   string // "" while it has none
	building bool   // until post-production
	complete bool   // really over
	deleted  bool

	node        string // name of the node it runs on
	nodeKnown   bool   // the build chose its node
	workspace   string
	kept        []StepFile // copies of file parameters
	description string
	displayName string
	keep        bool
	console     *console
	executor    *executor
	stopper     string // who aborted it
}

// buildCause is why a build was asked for.
type buildCause struct {
	class string
	text  string
	user  string
}

func userIDCause(user string) buildCause {
	return buildCause{class: "hudson.model.Cause$UserIdCause", text: "Started by user " + user, user: user}
}

func (b *build) inProgress() bool      { return !b.complete }
func (b *build) executableJob() *job   { return b.job }
func (b *build) executableNumber() int { return b.number }

func (b *build) path() string { return b.job.path() + strconv.Itoa(b.number) + "/" }

func (b *build) display() string {
	if b.displayName != "" {
		return b.displayName
	}
	return "#" + strconv.Itoa(b.number)
}

func (b *build) fullDisplay() string { return b.job.fullDisplayName() + " " + b.display() }

// create allocates the build (hudson.model.AbstractProject#createExecutable): a job
// that was disabled meanwhile refuses.
func (jb *job) create(it *item, e *executor) executable {
	if jb.conf.disabled {
		return nil
	}
	b := &build{
		job: jb, number: jb.next, queueID: it.id, params: it.params, causes: it.causes,
		started: time.Now(), building: true, executor: e, console: &console{},
	}
	jb.next++
	jb.running++
	jb.builds = append(jb.builds, b)
	return b
}

// estimate is the mean duration of the newest three finished builds, -1 if unknown.
func (jb *job) estimate() time.Duration {
	var sum time.Duration
	n := 0
	for _, b := range slices.Backward(jb.builds) {
		if !b.complete || b.result == resultAborted {
			continue
		}
		sum += b.duration
		if n++; n == 3 {
			break
		}
	}
	if n == 0 {
		return -time.Millisecond
	}
	return sum / time.Duration(n)
}

// rotate discards old builds; running, kept and the last successful and stable ones
// stay (hudson.tasks.LogRotator).
func (jb *job) rotate(now time.Time) {
	if jb.conf.keepBuilds == 0 && jb.conf.keepDays == 0 {
		return
	}
	last := jb.last(func(b *build) bool { return b.result == resultSuccess })
	surplus := len(jb.builds) - jb.conf.keepBuilds
	oldest := now.AddDate(0, 0, -jb.conf.keepDays)
	i := -1
	jb.builds = slices.DeleteFunc(jb.builds, func(b *build) bool {
		i++
		tooMany := jb.conf.keepBuilds > 0 && i < surplus
		tooOld := jb.conf.keepDays > 0 && b.started.Before(oldest)
		drop := (tooMany || tooOld) && b.complete && !b.keep && b != last
		b.deleted = b.deleted || drop
		return drop
	})
}

// remove deletes one build.
func (jb *job) remove(b *build) {
	b.deleted = true
	jb.builds = slices.DeleteFunc(jb.builds, func(x *build) bool { return x == b })
}
