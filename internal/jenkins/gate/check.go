// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// topic is that of all findings here.
const topic = "gate"

const installIt = `Install it: "pitcrew gate install".`

// Check looks whether the gate of a controller does what it is there for, and changes nothing; holds tells whether it keeps
// builds off agents now. Version is that of this pitcrew. Two requests.
func Check(ctx context.Context, j *jenkins.Client, version string, labels Labels) (found []jenkins.Finding, holds bool) {
	add := func(level jenkins.Level, remedy, format string, args ...any) {
		found = append(found, jenkins.Finding{Level: level, Topic: topic, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	s, err := NewClient(j, labels).Status(ctx)
	var unusable *UnusableError
	switch {
	case errors.Is(err, ErrAbsent):
		add(jenkins.LevelNote, installIt+` If there should be one, the log of Jenkins says why its file did not run: look for "GroovyHookScript" and "pitcrew".`,
			"no gate is loaded: labels alone keep builds off agents that are not clean")
		return found, false
	case errors.As(err, &unusable) && unusable.Heard:
		add(jenkins.LevelFail, installIt, "%v", err)
		return found, false
	case errors.As(err, &unusable):
		add(jenkins.LevelFail, "Give the user Overall/Read, and let no login or proxy answer in the place of Jenkins. If it was the gate that answered so: \"pitcrew gate install\".", "%v", err)
		return found, false
	case err != nil:
		add(jenkins.LevelWarn, "Look at address, user and token in the configuration, and whether Jenkins is up; then try again.", "the gate could not be asked: %v", err)
		return found, false
	}
	add(jenkins.LevelOK, "", "the gate of pitcrew %s keeps builds off agents that are not clean: asked %d times, %d times no", s.Version, s.Asked, s.Vetoed)
	if s.Version != version {
		add(jenkins.LevelWarn, installIt+" The new takes the place of the old without a gap.", "the gate is of pitcrew %s, and this is %s", s.Version, version)
	}
	if s.Hook == hookDeleted {
		add(jenkins.LevelWarn, installIt,
			"the file that brought the gate was deleted: after a restart of Jenkins it is gone, and builds start wherever they like until it is back")
	} else if !s.AtBoot() {
		add(jenkins.LevelWarn, `Write its file: "pitcrew gate install" without --no-file, or put what "pitcrew gate show" prints into init.groovy.d as `+FileName+".",
			"the gate was registered by the console alone: after a restart of Jenkins it is gone, and builds start wherever they like until it is back")
	}
	if s.Failed > 0 {
		add(jenkins.LevelWarn, "Report it with what the log of Jenkins has of \"pitcrew.gate\": agents of ours counted as not clean then, others were let through.",
			"the gate failed %d times: %s", s.Failed, s.Fault)
	}
	launched(ctx, j, s, add)
	return found, true
}

// launched warns of agents that can be given a build before init scripts ran.
func launched(ctx context.Context, j *jenkins.Client, s *Status, add func(level jenkins.Level, remedy, format string, args ...any)) {
	fleet, err := j.Fleet(ctx)
	if err != nil {
		add(jenkins.LevelWarn, "Try again.", "the agents could not be listed: %v", err)
		return
	}
	var names []string
	for _, a := range fleet.Agents {
		if _, ours := s.Agents[a.Name]; ours && a.LaunchSupported {
			names = append(names, a.Name)
		}
	}
	if len(names) == 0 {
		return
	}
	const most = 5
	list := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		list += fmt.Sprintf(" and %d more", len(names)-most)
	}
	add(jenkins.LevelWarn,
		"Start Jenkins with -Djenkins.model.Jenkins.automaticAgentLaunch=false, so that they are launched when the gate is up, or let them connect by themselves (inbound).",
		"Jenkins itself launches %s: a build that was queued before a restart can get one of them before the gate is up", list)
}
