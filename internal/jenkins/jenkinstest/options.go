// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// DefaultVersion is the version emulated when Options names none.
const DefaultVersion = "2.541.3"

// Options configure a [Jenkins]. The zero value is a running controller of
// DefaultVersion without security, plugins or root URL whose builds do nothing.
type Options struct {
	// Version is what X-Jenkins says; it also selects the behaviour of that version.
	Version string
	// RootURL is the configured root URL, "" if the operator never set it. Its path
	// is the context path under which everything is served.
	RootURL string
	// Dir is where real agents live: <Dir>/agents/<name> and <Dir>/home. Steps run as
	// real processes if Dir is set and Execute is not.
	Dir string
	// Execute runs the steps instead of real processes. It must return soon after ctx
	// ends. Nil together with an empty Dir means: every step succeeds at once.
	Execute func(ctx context.Context, step Step) StepResult
	// Launch starts agents that the controller launches itself; nil for simulated ones.
	Launch Launcher
	// Security is who may do what. Without users there is no security at all.
	Security Security
	// Plugins that are installed, by short name: see the Plugin constants.
	Plugins []string
	// BuiltIn describes the built-in node. It has no executors unless told so.
	BuiltIn BuiltInSpec
	// Timing holds the delays of the emulated server; zero means none.
	Timing Timing
	// Boot is called at each start, before requests are served, as an init script is.
	Boot func(*Jenkins)
	// Script plays the script console: what it prints for a script that an administrator posted to /scriptText, and the
	// status, 0 for 200. It may call the Jenkins. Nil answers 500.
	Script func(j *Jenkins, script string) (output string, status int)
	// Ahead is how far the controller's clock is ahead of real time, in all times that it
	// shows. The journal bears real time.
	Ahead time.Duration
	// Seed makes everything random reproducible.
	Seed uint64
	// JournalLimit bounds the ground truth kept in memory: 0 keeps everything, a
	// positive number the newest entries. OnEntry sees every entry in any case.
	JournalLimit int
	// FeedLimit bounds what the feed of an agent shows: 0 is everything, as in Jenkins, a
	// positive number the newest builds, for simulations of months.
	FeedLimit int
	// OnEntry is called for each entry of the journal, under the queue lock: it must
	// neither block nor call the Jenkins.
	OnEntry func(Entry)
	// Logger gets what Jenkins would write to its own log; nil discards it.
	Logger *slog.Logger
}

// Plugins that can be switched on by Options.Plugins.
const (
	PluginFolder        = "cloudbees-folder"
	PluginPipeline      = "workflow-job"
	PluginMatrix        = "matrix-project"
	PluginNodeParameter = "nodelabelparameter"
)

// BuiltInSpec describes the built-in node.
type BuiltInSpec struct {
	Executors int
	Labels    string // without the self label
	Exclusive bool
}

// Timing holds the delays that widen Jenkins' race windows. All default to zero.
type Timing struct {
	// Swap is the time between putting a posted node into place and resetting the
	// label caches (a disk write; since 2.449).
	Swap time.Duration
	// Parse is the time between fetching the previous node object and swapping it: a
	// replacement that lands meanwhile makes the POST a 200 without effect.
	Parse time.Duration
	// Assign is the time from assigning an executor to its thread's start.
	Assign time.Duration
	// Create is the time from an item's leaving the queue to its build's existence.
	Create time.Duration
	// PostBuild is the time from a result being visible to the executor being free.
	PostBuild time.Duration
	// Retire is the time from the hooks being told that work is over to the executor being
	// free; without hooks there is none.
	Retire time.Duration
	// Notice is how long the controller takes to see that a connection is lost.
	Notice time.Duration
	// Reconnect is how long simulated agents take to return after a restart.
	Reconnect time.Duration
	// Launch is how long launching a simulated agent takes.
	Launch time.Duration
	// Down is how long a restarting controller refuses connections, Boot how long it
	// then answers 503.
	Down, Boot time.Duration
	// Init is the time between the restored queue being served and Options.Boot: what the
	// controller itself can run, it runs without the hooks of the init script.
	Init time.Duration
	// Reload is how long "reload configuration from disk" answers 503.
	Reload time.Duration
	// QueueLock delays every POST that needs the queue lock, as a long maintenance
	// run does. GETs are not delayed.
	QueueLock time.Duration
	// LeakedOutput bounds how long a background process that holds the build's
	// output delays the end of a real step; zero means two seconds.
	LeakedOutput time.Duration
}

// version is a Jenkins version, major.minor of the weekly line.
type version struct{ major, minor int }

func parseVersion(s string) (version, error) {
	parts := strings.SplitN(s, ".", 3)
	if len(parts) < 2 {
		return version{}, fmt.Errorf("parse version %q: want major.minor", s)
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return version{}, fmt.Errorf("parse version %q: %w", s, err)
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		return version{}, fmt.Errorf("parse version %q: %w", s, err)
	}
	return version{major, minor}, nil
}

// since reports whether the emulated version is 2.minor or later.
func (v version) since(minor int) bool {
	return v.major > 2 || v.major == 2 && v.minor >= minor
}
