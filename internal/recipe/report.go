// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// Outcome is how a whole cleanup ended, as its program saw it.
type Outcome string

// The outcomes of a cleanup.
const (
	Cleaned   Outcome = "cleaned"
	Failed    Outcome = "failed"
	Reconnect Outcome = "reconnect"
	Reboot    Outcome = "reboot"
)

// Report is what a program says about its run.
type Report struct {
	Version    int    `json:"version"`
	Attempt    int64  `json:"attempt"`
	Agent      string `json:"agent"`
	Controller string `json:"controller"`
	Recipe     string `json:"recipe"`
	Revision   string `json:"revision"`
	// Phases is "all", or "verify" if that phase alone was asked for.
	Phases string `json:"phases"`
	// Depth is how deep the cleanup was; programs of earlier versions do not tell.
	Depth   Depth   `json:"depth,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Verified is whether the verify phase was reached and all of it that applies passed.
	Verified bool `json:"verified"`
	// Reason says in words why the outcome is not cleaned; it may be empty.
	Reason string `json:"reason"`
	// Started and Ended are seconds since 1970 by the machine's clock, which need not be right.
	Started      int64        `json:"started"`
	Ended        int64        `json:"ended"`
	Steps        []StepReport `json:"steps"`
	Disk         DiskChange   `json:"disk"`
	Machine      Machine      `json:"machine"`
	AgentProcess AgentProcess `json:"agentProcess"`
}

// Duration is how long the program ran, by the machine's clock; never negative.
func (r Report) Duration() time.Duration {
	return max(0, time.Duration(r.Ended-r.Started)*time.Second)
}

// StepReport is what became of one step.
type StepReport struct {
	Name    string      `json:"name"`
	Phase   Phase       `json:"phase"`
	Outcome StepOutcome `json:"outcome"`
	// Exit is the exit code of the last try.
	Exit    int   `json:"exit"`
	Seconds int64 `json:"seconds"`
	Tries   int   `json:"tries"`
	// Reason says why it did not simply succeed, or what else is worth knowing.
	Reason string `json:"reason"`
	// Tail is the end of the output of a step that failed.
	Tail string `json:"tail"`
	// Scrub is what scrub found and did; nil for a script, and for a step that did not run.
	Scrub *spec.Result `json:"scrub,omitempty"`
}

// DiskChange is the room on the file system of the agent before and after.
type DiskChange struct {
	Before Disk `json:"before"`
	After  Disk `json:"after"`
}

// Disk is free room; a value that could not be learnt is 0.
type Disk struct {
	BytesFree  int64 `json:"bytesFree"`
	InodesFree int64 `json:"inodesFree"`
}

// Machine identifies the machine; what could not be learnt is empty.
type Machine struct {
	ID       string `json:"id"`
	BootID   string `json:"bootId"`
	Hostname string `json:"hostname"`
	// Uptime is the seconds since that boot when the report was made; 0 where the machine does not tell.
	Uptime int64 `json:"uptime,omitempty"`
	// OS holds all words by which conditions know the system, separated by blanks.
	OS   string `json:"os"`
	Arch string `json:"arch"`
	User string `json:"user"`
}

// Up is how long the machine had been up, 0 if it does not say so in earnest.
func (m Machine) Up() time.Duration {
	const longest = 100 * 365 * 24 * 60 * 60
	if m.Uptime < 0 || m.Uptime > longest {
		return 0
	}
	return time.Duration(m.Uptime) * time.Second
}

// AgentProcess identifies the process of the agent if the program descends from it; else Pid is 0. Start is opaque:
// equal Pid and Start on one boot are the same process.
type AgentProcess struct {
	PID   int    `json:"pid"`
	Start string `json:"start"`
	// Image is opaque too: another one in the same process means that it has begun a program anew in its
	// place (exec). Empty where the machine does not show it, as no Linux.
	Image string `json:"image,omitempty"`
}
