// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// realJob is a job of people. Its builds leave a line in builds for each start, with
// what labels the agent's directory shows of the past, and a mess.
const realJob = `<?xml version='1.1' encoding='UTF-8'?>
<project>
  <description>end to end</description>
  <keepDependencies>false</keepDependencies>
  <properties/>
  <scm class="hudson.scm.NullSCM"/>
  <assignedNode>%s</assignedNode>
  <canRoam>false</canRoam>
  <disabled>false</disabled>
  <triggers/>
  <concurrentBuild>true</concurrentBuild>
  <builders>
    <hudson.tasks.Shell>
      <command>%s</command>
    </hudson.tasks.Shell>
  </builders>
  <publishers/>
  <buildWrappers/>
</project>
`

const realBuild = `#!/bin/sh -e
cd "$WORKSPACE/../.."
state=clean
[ ! -e mess ] || state=messy
echo "$BUILD_NUMBER-$state" >>builds
echo mess >mess
while [ -e hold-build ]; do sleep 0.1; done
`

// job makes a job of people for a label expression.
func (s *scene) job(expression string) (name string) {
	s.Helper()
	name = fmt.Sprintf("%s-job-%s", s.name, s.controller.Unique("j"))
	s.controller.Job(s.ctx, s, name, fmt.Sprintf(realJob, escaped(s.words(expression)), escaped(realBuild)))
	return name
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder takes everything
	return strings.ReplaceAll(b.String(), "&#xA;", "\n")
}

// schedule puts a build into the queue and returns its item.
func (s *scene) schedule(job string) (item int) {
	s.Helper()
	a := s.controller.Post(s.ctx, s, testbed.JobPath(job)+"/build?delay=0sec", nil)
	item, err := strconv.Atoi(path.Base(strings.TrimSuffix(a.Header.Get("Location"), "/")))
	s.must(err)
	return item
}

// queued is what the queue says of an item.
type queued struct {
	Why        string
	Cancelled  bool
	Executable *struct{ Number int }
}

func (s *scene) item(id int) queued {
	s.Helper()
	return testbed.Read[queued](s.ctx, s, s.controller, fmt.Sprintf("/queue/item/%d/api/json", id))
}

// number waits until an item has become a build.
func (s *scene) number(id int) (number int) {
	s.Helper()
	s.await(fmt.Sprintf("start of item %d", id), func() bool {
		if i := s.item(id); i.Executable != nil {
			number = i.Executable.Number
		}
		return number > 0
	})
	return number
}

// built is what a build's own page says.
type built struct {
	Building bool
	Result   string
	BuiltOn  string
	URL      string

	Timestamp int64 // of its start, in milliseconds
}

func (b built) started() time.Time { return time.UnixMilli(b.Timestamp) }

func (s *scene) build(job string, number int) built {
	s.Helper()
	return testbed.Read[built](s.ctx, s, s.controller, fmt.Sprintf("%s/%d/api/json?tree=building,result,builtOn,url,timestamp", testbed.JobPath(job), number))
}

// finish waits until a build has ended.
func (s *scene) finish(job string, number int) (b built) {
	s.Helper()
	s.await("end of a build", func() bool {
		b = s.build(job, number)
		return !b.Building && b.Result != ""
	})
	return b
}

func (s *scene) console(job string, number int) string {
	s.Helper()
	return s.controller.Get(s.ctx, s, fmt.Sprintf("%s/%d/consoleText", testbed.JobPath(job), number))
}

// cleanupContext is for what is done after the test, whose own context has ended.
func (s *scene) cleanupContext() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s.Cleanup(cancel)
	return ctx
}

// buildSlot builds a slot by hand, for an agent, and returns the number of the build.
func (s *scene) buildSlot(slot, agent string) int {
	s.Helper()
	a := s.controller.Post(s.ctx, s, testbed.JobPath(slot)+"/buildWithParameters?delay=0sec", url.Values{
		"PITCREW_AGENT": {agent}, "PITCREW_CONTROLLER": {"ci"}, "PITCREW_ATTEMPT": {"99"},
		"PITCREW_NONCE": {strings.Repeat("0123456789abcdef", 2)}, "PITCREW_PHASES": {"all"},
	})
	id, err := strconv.Atoi(path.Base(strings.TrimSuffix(a.Header.Get("Location"), "/")))
	s.must(err)
	return s.number(id)
}
