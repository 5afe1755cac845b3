// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"errors"
	"io"
)

// AgentLink is one live connection from the controller to an agent's process.
// The controller asks for steps through it and learns of its end through Done.
//
// A link is made by whoever owns the other side: the package itself for agents
// that are a directory and local processes, or faked ones; an inbound protocol
// for agents that are processes of their own. It is put into service by
// [Jenkins.Connect] and never reused after it ended.
type AgentLink interface {
	// Run executes one build step and returns when the step has ended. The step's
	// output goes to step.Out as it appears. When ctx ends the agent must be told to
	// end the step and its processes, and Run must return: it need not wait for their
	// end, and what they print from then on goes nowhere. When the connection is
	// lost, Run returns at once with a StepResult whose Err is ErrLinkLost, and
	// processes that the agent started are nobody's business any more.
	Run(ctx context.Context, step Step) StepResult

	// Reap kills, with their descendants, all processes of the agent's machine whose
	// environment holds every one of the given variables with the given value. The
	// controller calls it once at the end of each FreeStyle build, unless the
	// connection is lost or the build was stopped (hudson.util.ProcessTree#killAll).
	Reap(ctx context.Context, cookies map[string]string) error

	// Close ends the connection from the controller's side: an operator disconnected
	// the agent, its node was deleted, or the controller stops. It must not block
	// and must be idempotent. After it, Done is closed.
	Close(reason string)

	// Done is closed when the connection is over, whoever ended it.
	Done() <-chan struct{}
}

// Launcher starts agents that the controller launches itself (an SSH launcher, for
// instance). Options.Launch holds the one to use; without it such agents get the
// package's own links.
type Launcher interface {
	// Launch starts the agent's process and returns its link. An error leaves the
	// agent offline with the cause LaunchFailed.
	Launch(ctx context.Context, agent AgentInfo) (AgentLink, error)
}

// AgentInfo is what an owner of links may know about an agent.
type AgentInfo struct {
	Name     string
	RemoteFS string // directory on the agent's machine, as configured
	Secret   string // what an inbound agent must present
	Inbound  bool   // the configured launcher is the inbound one
	Online   bool   // a link is in service
}

// Step is one build step on its way to an agent.
type Step struct {
	Agent  string
	Job    string // full name
	Number int    // build number
	Index  int    // position of the step in the build

	// Env is what the controller adds to the environment of the agent's process;
	// its values win.
	Env map[string]string
	// Params are the build's parameters by name. They are part of Env too.
	Params map[string]string
	// Workspace is the directory to create and to run in.
	Workspace string
	// Files are file parameters: written below Workspace before the first step runs,
	// in place of files of that name.
	Files []StepFile
	// Script is the text of the step with LF line ends. The agent writes it to a
	// file named "jenkins" + random digits + ".sh" in its own temporary directory
	// (not the workspace) and removes that file afterwards.
	Script string
	// Args is the command line to which the script file's path is appended. It is
	// empty if the step has no "#!" line and no shell is configured: then
	// it is the agent's own /bin/sh with -xe.
	Args []string
	// Out receives standard output and standard error.
	Out io.Writer
}

// StepFile is a file that belongs into the workspace.
type StepFile struct {
	Name string // relative, slash-separated
	Data []byte
}

// StepResult is how a step ended.
type StepResult struct {
	Exit int
	// Err is nil if the step ran to its end, whatever its exit status. ErrLinkLost
	// fails the build as a lost agent does; any other error fails it with its text.
	Err error
}

// Errors of connecting and of links.
var (
	ErrLinkLost       = errors.New("connection was broken")
	ErrNoSuchAgent    = errors.New("no such agent")
	ErrBadSecret      = errors.New("wrong agent secret")
	ErrNotInbound     = errors.New("not an inbound agent")
	ErrAlreadyOnline  = errors.New("already connected to this controller. Rejecting this connection.") //nolint:staticcheck // Jenkins' own words
	ErrNotServing     = errors.New("controller is not up")
	ErrLaunchRejected = errors.New("launch was refused")
)
