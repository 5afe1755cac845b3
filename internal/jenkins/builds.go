// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Build is a build that has begun (hudson.model.Run).
type Build struct {
	Job     string
	Number  int64
	QueueID int64
	// Building turns false before the agent is free: wait for [Agent.Idle]. Result may be set before that.
	Building bool
	Result   string // SUCCESS, UNSTABLE, FAILURE, NOT_BUILT, ABORTED; empty while there is none
	// BuiltOn is the agent, empty for the built-in node. BuiltOnKnown is false for Pipelines and before the build chose.
	BuiltOn      string
	BuiltOnKnown bool
	Timestamp    time.Time     // of the start
	Duration     time.Duration // 0 while it runs
	URL          string
	Description  string
	Params       map[string]string
}

// Aborted reports whether somebody, or the controller's own end, stopped the build.
func (b *Build) Aborted() bool { return b.Result == "ABORTED" }

const buildFields = "number,queueId,building,result,builtOn,timestamp,duration,url,description,actions[parameters[name,value]]"

type wireBuild struct {
	Number      int64          `json:"number"`
	QueueID     int64          `json:"queueId"`
	Building    bool           `json:"building"`
	Result      string         `json:"result"`
	BuiltOn     nullableString `json:"builtOn"`
	Timestamp   int64          `json:"timestamp"` // ms
	Duration    int64          `json:"duration"`  // ms
	URL         string         `json:"url"`
	Description string         `json:"description"`
	Actions     []wireAction   `json:"actions"`
}

type wireAction struct {
	Parameters []struct {
		Name  string          `json:"name"`
		Value json.RawMessage `json:"value"`
	} `json:"parameters"`
}

// nullableString tells the empty string from null, and from a missing member.
type nullableString struct {
	known bool
	value string
}

// UnmarshalJSON reads a string or null.
func (n *nullableString) UnmarshalJSON(b []byte) error {
	n.known = string(b) != "null"
	return json.Unmarshal(b, &n.value)
}

// BuildInfo returns one build: one request. It needs Job/Read.
func (c *Client) BuildInfo(ctx context.Context, job string, number int64) (Build, error) {
	path, err := buildPath(job, number)
	if err != nil {
		return Build{}, invalid("read", buildObject(job, number), err)
	}
	var w wireBuild
	if _, err := c.getJSON(ctx, "read", buildObject(job, number), path+"/api/json", tree(buildFields), &w); err != nil {
		return Build{}, err
	}
	if w.Number != number {
		return Build{}, invalid("read", buildObject(job, number), errShape)
	}
	return w.build(job), nil
}

// RecentBuilds returns the newest 100 builds of a job, newest first: one request. With [Build.QueueID] and
// [Build.Params] a build is found again whose queue item is forgotten.
func (c *Client) RecentBuilds(ctx context.Context, job string) ([]Build, error) {
	path, err := jobPath(job)
	if err != nil {
		return nil, invalid("list builds", jobObject(job), err)
	}
	var answer struct {
		Builds []wireBuild `json:"builds"`
	}
	_, err = c.getJSON(ctx, "list builds", jobObject(job), path+"/api/json", tree("builds["+buildFields+"]{0,100}"), &answer)
	if err != nil {
		return nil, err
	}
	builds := make([]Build, 0, len(answer.Builds))
	for i := range answer.Builds {
		builds = append(builds, answer.Builds[i].build(job))
	}
	return builds, nil
}

func buildPath(job string, number int64) (string, error) {
	path, err := jobPath(job)
	return fmt.Sprintf("%s/%d", path, number), err
}

func (w *wireBuild) build(job string) Build {
	b := Build{
		Job: job, Number: w.Number, QueueID: w.QueueID, Building: w.Building, Result: w.Result,
		BuiltOn: w.BuiltOn.value, BuiltOnKnown: w.BuiltOn.known,
		Duration: time.Duration(w.Duration) * time.Millisecond, URL: w.URL, Description: w.Description,
	}
	if w.Timestamp > 0 {
		b.Timestamp = time.UnixMilli(w.Timestamp)
	}
	for _, a := range w.Actions {
		for _, p := range a.Parameters {
			if b.Params == nil {
				b.Params = map[string]string{}
			}
			b.Params[p.Name] = paramText(p.Value)
		}
	}
	return b
}

// paramText returns a string parameter as it is and any other as JSON, such as true.
func paramText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return strings.TrimSpace(string(raw))
}

// StopBuild aborts a build: one request. The build ends some time after the answer; one that does not run is success.
// It needs Job/Cancel.
func (c *Client) StopBuild(ctx context.Context, job string, number int64) error {
	path, err := buildPath(job, number)
	if err != nil {
		return invalid("stop", buildObject(job, number), err)
	}
	return c.post(ctx, "stop", buildObject(job, number), path+"/stop", nil)
}

// SetBuildDescription sets the description of a build: one request. It needs Run/Update.
func (c *Client) SetBuildDescription(ctx context.Context, job string, number int64, text string) error {
	path, err := buildPath(job, number)
	if err != nil {
		return invalid("describe", buildObject(job, number), err)
	}
	return c.post(ctx, "describe", buildObject(job, number), path+"/submitDescription", url.Values{"description": {text}})
}
