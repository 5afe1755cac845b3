// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
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

const computerFields = "displayName,assignedLabels[name],offline,temporarilyOffline,offlineCause[_class],offlineCauseReason," +
	"launchSupported,executors[idle," + executorFields + "],oneOffExecutors[" + executorFields + "]"

// A single look costs little and is what claims and grants depend on: it asks for Jenkins' own word besides.
const singleFields = "idle," + computerFields

type wireComputer struct {
	Class              string         `json:"_class"`
	DisplayName        string         `json:"displayName"`
	AssignedLabels     []wireLabel    `json:"assignedLabels"`
	Idle               *bool          `json:"idle"` // not asked for in polls: it says what the executors say (hudson.model.Computer#isIdle)
	Offline            bool           `json:"offline"`
	TemporarilyOffline bool           `json:"temporarilyOffline"`
	OfflineCause       *wireClass     `json:"offlineCause"`
	OfflineCauseReason string         `json:"offlineCauseReason"`
	LaunchSupported    bool           `json:"launchSupported"`
	Executors          []wireExecutor `json:"executors"`
	OneOffExecutors    []wireExecutor `json:"oneOffExecutors"`
}

type wireLabel struct {
	Name string `json:"name"`
}

type wireClass struct {
	Class string `json:"_class"`
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

// Fleet returns all agents: one request, about 330 bytes of answer per idle agent before compression. It needs Overall/Read; what runs is
// seen with Job/Read only. An agent that is missing need not be gone: ask [Client.Agent].
//
// Agents of which the answer says what the one before said share labels and executables with that: do not change them.
func (c *Client) Fleet(ctx context.Context) (Fleet, error) {
	var f Fleet
	err := c.do(ctx, request{
		op: "read fleet", method: http.MethodGet, path: "/computer/api/json", query: tree("computer[" + computerFields + "]"),
	}, func(r *reply) (err error) {
		f.Session, f.Version, f.Clock = sessionOf(r.header), r.header.Get("X-Jenkins"), r.clock
		f.Agents, err = c.fleet.read(r.body)
		return err
	})
	if err != nil {
		return Fleet{}, err
	}
	return f, nil
}

// fleetMemory is the newest answer about all agents. Most agents are from poll to poll what they were, and decoding what
// is said of one takes twenty times longer than to see that it is the same.
type fleetMemory struct {
	seen atomic.Pointer[[]seenComputer] // which are not changed
	size atomic.Int64                   // of the answer
}

// seenComputer is a computer with what the answer said of it.
type seenComputer struct {
	raw   []byte
	agent Agent
}

func (m *fleetMemory) read(body io.Reader) ([]Agent, error) {
	answer := bytes.NewBuffer(make([]byte, 0, m.size.Load()+bytes.MinRead))
	if _, err := answer.ReadFrom(body); err != nil {
		return nil, err
	}
	m.size.Store(int64(answer.Len()))
	var before []seenComputer
	if seen := m.seen.Load(); seen != nil {
		before = *seen
	}
	now := make([]seenComputer, 0, len(before)+1)
	var w wireComputer
	err := eachElement(answer.Bytes(), "computer", func(s *scan) error {
		if n := len(now); n < len(before) && s.same(before[n].raw) {
			now = append(now, before[n])
			return nil
		}
		raw, err := s.value()
		if err != nil {
			return err
		}
		w.reset()
		if err := json.Unmarshal(raw, &w); err != nil {
			return err
		}
		now = append(now, seenComputer{bytes.Clone(raw), w.agent()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.seen.Store(&now)
	var agents []Agent
	for i := range now {
		if now[i].agent.Name == "" {
			continue
		}
		if agents == nil {
			agents = make([]Agent, 0, len(now)-i)
		}
		agents = append(agents, now[i].agent)
	}
	return agents, nil
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
		OfflineReason:      unescaped(w.OfflineCauseReason),
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

// unescaped undoes the escaping of a reason, which Jenkins applies once or twice (hudson.slaves.OfflineCause).
func unescaped(s string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	return html.UnescapeString(html.UnescapeString(s))
}
