// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// permissions probes what the user may do, without doing any of it.
func (k *checker) permissions(ctx context.Context) {
	k.createPermission(ctx)
	if len(k.managed) == 0 {
		k.add(LevelWarn, "permission", "Check again when an agent carries the label.",
			"Agent/Configure, Agent/Connect and Agent/Disconnect are probed on a managed agent, and there is none")
		return
	}
	agent := k.managed[0].Name
	k.readPermission(ctx, agent)
	k.configurePermission(ctx, agent)
	k.connectPermission(ctx, agent)
	k.add(LevelNote, "permission", "Grant them as the guide says; without them the first cleanup fails and names the permission.",
		"Agent/Disconnect, Job/Build, Job/Cancel and Job/Configure cannot be probed without doing something")
}

// readPermission reads a configuration.
func (k *checker) readPermission(ctx context.Context, agent string) {
	n, err := k.c.NodeConfig(ctx, agent)
	switch {
	case IsForbidden(err):
		k.lacks("Agent/ExtendedRead or Agent/Configure", err, "the labels of agents cannot be read")
	case err != nil:
		k.add(LevelWarn, "permission", seeLog, "the configuration of agent %s cannot be read: %v", agent, err)
	case n.Mode == "":
		k.add(LevelWarn, "agents", "Manage permanent agents only; those of a cloud come and go by themselves.", "the configuration of agent %s has no mode; is %s a permanent agent?", agent, n.Kind)
	}
}

// configurePermission sends an empty configuration form. Jenkins checks the permission first and then refuses the form,
// before it looks at any of its fields (hudson.model.Computer#doConfigSubmit).
func (k *checker) configurePermission(ctx context.Context, agent string) {
	path, err := computerPath(agent)
	if err != nil {
		return // was read from the controller under this name a moment ago
	}
	err = k.c.post(ctx, "probe Agent/Configure", agentObject(agent), path+"/configSubmit", nil)
	k.probed("Agent/Configure", err, http.StatusBadRequest, "labels cannot be written")
}

// createPermission sends a job without a name. Jenkins checks the permission first and then misses the name or the type
// of the content (hudson.model.ItemGroupMixIn#createTopLevelItem).
func (k *checker) createPermission(ctx context.Context) {
	path := ""
	if k.o.Folder != "" {
		p, err := jobPath(k.o.Folder)
		if err != nil {
			k.add(LevelFail, "jobs", "Give the full name of a folder, such as ci/cleanup.", "%q cannot be the name of a folder", k.o.Folder)
			return
		}
		path = p
	}
	err := k.c.do(ctx, request{
		op: "probe Job/Create", object: "folder " + quotedOrTop(k.o.Folder), method: http.MethodPost, path: path + "/createItem",
	}, nil)
	if IsNotFound(err) {
		k.add(LevelFail, "jobs", "Create the folder, or name another one.", "there is no folder %s", quotedOrTop(k.o.Folder))
		return
	}
	k.probed("Job/Create", err, http.StatusBadRequest, "cleanup jobs cannot be created")
}

// connectPermission looks at what the monitors know of an agent, which is empty without it
// (hudson.model.Computer#getMonitorData).
func (k *checker) connectPermission(ctx context.Context, agent string) {
	path, err := computerPath(agent)
	if err != nil {
		return
	}
	var w struct {
		MonitorData map[string]json.RawMessage `json:"monitorData"`
	}
	_, err = k.c.getJSON(ctx, "probe Agent/Connect", agentObject(agent), path+"/api/json", tree("monitorData[*]"), &w)
	delete(w.MonitorData, "_class")
	switch {
	case err != nil:
		k.add(LevelWarn, "permission", seeLog, "Agent/Connect could not be probed: %v", err)
	case len(w.MonitorData) == 0:
		k.add(LevelWarn, "permission", "Grant the user Agent/Connect, if agents are to be launched or pitcrew's offline marks lifted.",
			"Agent/Connect seems to be missing: the data of agent %s's monitors are hidden", agent)
	default:
		k.add(LevelOK, "permission", "", "Agent/Connect is granted")
	}
}

// probed judges the answer to a call that had to be refused: with status allowed if the permission is there.
func (k *checker) probed(permission string, err error, allowed int, consequence string) {
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status == allowed:
		k.add(LevelOK, "permission", "", "%s is granted", permission)
	case IsForbidden(err):
		k.lacks(permission, err, consequence)
	default:
		k.add(LevelWarn, "permission", fmt.Sprintf("See that the user has %s.", permission), "%s could not be probed: %v", permission, err)
	}
}

func (k *checker) lacks(permission string, err error, consequence string) {
	id := permissionOf(err)
	if id != "" {
		id = " (" + id + ")"
	}
	k.add(LevelFail, "permission", fmt.Sprintf("Grant the user %s%s.", permission, id), "%s is missing: %s", permission, consequence)
}
