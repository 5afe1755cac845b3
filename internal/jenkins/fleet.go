// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"strings"
	"time"
)

// Fleet is what one poll saw of all agents.
type Fleet struct {
	Session string // changes with every start of the controller; empty if a proxy dropped the header
	Version string // of Jenkins
	Clock   Clock
	Agents  []Agent
}

// Clock is what one answer tells of the controller's clock: by Date it was some time between Sent and Received, which
// are of ours. A proxy in front of the controller may put its own Date into answers.
type Clock struct {
	Sent, Received time.Time
	Date           time.Time // in whole seconds; zero if the answer has none
}

// Agent is the run-time face of an agent at one moment (hudson.model.Computer).
type Agent struct {
	Name    string
	BuiltIn bool // the built-in node; its Name is the one it is displayed with and is no address
	// Labels are all labels, unordered: those of the configuration, the agent's own name and those that plugins add.
	// Never make a label string of them.
	Labels []string

	// Idle: no executor has work, one-off executors included. Turns false when a build is assigned, before that build
	// exists, and is all that tells whether the agent is busy.
	Idle               bool
	Offline            bool   // no connection, or TemporarilyOffline
	TemporarilyOffline bool   // marked by a person, a monitor or us; running builds go on
	OfflineReason      string // text of the mark if there is one, else of the disconnection
	OfflineClass       string // such as hudson.slaves.OfflineCause$UserCause; empty if never connected

	Executors       int  // that exist now; not one-off executors
	Inbound         bool // connects by itself; the opposite of LaunchSupported
	LaunchSupported bool // the controller can launch it

	Running []Executable // what we may see of what runs
	Hidden  bool         // an executor is busy with what we may not see, or what has not begun
}

// Executable is something that runs on an executor.
type Executable struct {
	Class     string // such as hudson.model.FreeStyleBuild
	Job       string // full name, from URL
	URL       string
	Number    int64
	Flyweight bool // on a one-off executor
}

const executorFields = "currentExecutable[url]" // the number stands in it

// Polls do not ask for offlineCauseReason, which is there even where nothing is offline: the description of a cause says the same
// of a mark, and [Client.tellReasons] gets what has none. The timestamp tells one cause from the next of its class.
const computerFields = "displayName,assignedLabels[name],offline,temporarilyOffline,offlineCause[description,timestamp]," +
	"launchSupported,executors[idle," + executorFields + "],oneOffExecutors[" + executorFields + "]"

// A single look costs little and is what claims and grants depend on: it asks for Jenkins' own word besides.
const singleFields = "idle,offlineCauseReason," + computerFields

type wireComputer struct {
	Class              string         `json:"_class"`
	DisplayName        string         `json:"displayName"`
	AssignedLabels     []wireLabel    `json:"assignedLabels"`
	Idle               *bool          `json:"idle"` // not asked for in polls: it says what the executors say (hudson.model.Computer#isIdle)
	Offline            bool           `json:"offline"`
	TemporarilyOffline bool           `json:"temporarilyOffline"`
	OfflineCause       *wireCause     `json:"offlineCause"`
	OfflineCauseReason string         `json:"offlineCauseReason"` // not asked for in polls
	LaunchSupported    bool           `json:"launchSupported"`
	Executors          []wireExecutor `json:"executors"`
	OneOffExecutors    []wireExecutor `json:"oneOffExecutors"`
}

type wireLabel struct {
	Name string `json:"name"`
}

type wireCause struct {
	Class       string `json:"_class"`
	Description string `json:"description"` // of marks and of few other causes
}

type wireExecutor struct {
	Idle              bool            `json:"idle"`
	CurrentExecutable *wireExecutable `json:"currentExecutable"`
}

type wireExecutable struct {
	Class  string `json:"_class"`
	URL    string `json:"url"`
	Number int64  `json:"number"`
}

// RootDirs returns the remote root directory of each agent by its name, absolute as the agent itself tells it: one request. Of one that is
// offline it is not told, nor to a user without Agent/Connect.
func (c *Client) RootDirs(ctx context.Context) (map[string]string, error) {
	dirs := map[string]string{}
	err := c.do(ctx, request{
		op: "read root directories", method: http.MethodGet, path: "/computer/api/json", query: tree("computer[displayName,absoluteRemotePath]"),
	}, func(r *reply) error {
		return elements(json.NewDecoder(r.body), "computer", func(dec *json.Decoder) error {
			var w struct {
				DisplayName        string `json:"displayName"`
				AbsoluteRemotePath string `json:"absoluteRemotePath"`
			}
			err := dec.Decode(&w)
			if w.AbsoluteRemotePath != "" {
				dirs[w.DisplayName] = w.AbsoluteRemotePath
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return dirs, nil
}

// sessionOf returns the mark of one run of the controller (jenkins.model.Jenkins#computeVersion). Only answers of the
// API carry it reliably.
func sessionOf(h http.Header) string { return h.Get("X-Jenkins-Session") }

// Agent returns a fresh look at one agent: one request, two if it is not there, since one 404 proves nothing.
func (c *Client) Agent(ctx context.Context, name string) (Agent, error) {
	path, err := computerPath(name)
	if err != nil {
		return Agent{}, invalid("read state", agentObject(name), err)
	}
	var w wireComputer
	err = lookTwice(ctx, func() error {
		w = wireComputer{}
		_, err := c.getJSON(ctx, "read state", agentObject(name), path+"/api/json", tree(singleFields), &w)
		return err
	})
	if err != nil {
		return Agent{}, err
	}
	if w.DisplayName == "" {
		return Agent{}, invalid("read state", agentObject(name), errShape)
	}
	return w.agent(), nil
}

// reset makes w empty but for the memory of its slices, which is half of what decoding a fleet would allocate. That of
// the executors is given up: an answer without them must not pass for one with none.
func (w *wireComputer) reset() {
	*w = wireComputer{
		AssignedLabels:  emptied(w.AssignedLabels),
		OneOffExecutors: emptied(w.OneOffExecutors),
	}
}

// emptied also clears what lies beyond the length: encoding/json decodes into old elements without clearing them.
func emptied[T any](s []T) []T {
	clear(s[:cap(s)])
	return s[:0]
}

func (w *wireComputer) agent() Agent {
	a := Agent{
		Name:               w.DisplayName,
		BuiltIn:            strings.HasSuffix(w.Class, "$MasterComputer"),
		Idle:               w.Executors != nil && (w.Idle == nil || *w.Idle) && len(w.OneOffExecutors) == 0,
		Offline:            w.Offline || w.TemporarilyOffline,
		TemporarilyOffline: w.TemporarilyOffline,
		OfflineReason:      w.reason(),
		Executors:          len(w.Executors),
		Inbound:            !w.LaunchSupported,
		LaunchSupported:    w.LaunchSupported,
	}
	if w.OfflineCause != nil {
		a.OfflineClass = w.OfflineCause.Class
	}
	if len(w.AssignedLabels) > 0 {
		a.Labels = make([]string, 0, len(w.AssignedLabels))
		for _, l := range w.AssignedLabels {
			a.Labels = append(a.Labels, l.Name)
		}
	}
	for _, e := range w.Executors {
		a.Idle = a.Idle && e.Idle // the fields of an answer are read one after another; busy in any of them is busy
		a.see(e.CurrentExecutable, false, e.Idle)
	}
	for _, e := range w.OneOffExecutors {
		a.see(e.CurrentExecutable, true, false)
	}
	return a
}

// see records what an executor runs.
func (a *Agent) see(e *wireExecutable, flyweight, idle bool) {
	if e == nil {
		a.Hidden = a.Hidden || !idle
		return
	}
	a.Running = append(a.Running, e.executable(flyweight))
}

func (w *wireExecutable) executable(flyweight bool) Executable {
	e := Executable{Class: w.Class, URL: w.URL, Number: w.Number, Flyweight: flyweight}
	job, number := parseBuildURL(w.URL)
	e.Job = job
	if e.Number == 0 {
		e.Number = number
	}
	return e
}

// reason is the text of a mark as whoever set it wrote it, or Jenkins' word for another cause. The description of a mark begins
// with "Disconnected by NAME" in the language of the request, or in the one that the controller forces on all; what is
// written behind it is in none (hudson.slaves.OfflineCause.UserCause).
func (w *wireComputer) reason() string {
	if w.OfflineCause == nil || w.OfflineCause.Description == "" {
		return unescaped(w.OfflineCauseReason)
	}
	text := w.OfflineCause.Description
	if _, message, ok := strings.Cut(text, " : "); ok && isPersons(w.OfflineCause.Class) {
		text = message
	}
	return unescaped(text)
}

// isPersons reports whether a cause is that of somebody's mark, or of a disconnection that somebody asked for.
func isPersons(class string) bool {
	return strings.HasSuffix(class, "$UserCause") || strings.HasSuffix(class, "$ByCLI")
}

// unescaped undoes the escaping of a reason, which Jenkins applies once or twice (hudson.slaves.OfflineCause).
func unescaped(s string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	return html.UnescapeString(html.UnescapeString(s))
}
