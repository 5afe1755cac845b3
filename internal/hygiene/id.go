// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"fmt"
	"strings"
)

// ControllerID names a controller, as the configuration does.
type ControllerID string

// AgentID names an agent: agent names are unique per controller only, and case-sensitive.
type AgentID struct {
	Controller ControllerID
	Name       string
}

// String returns "controller/agent". It is for people and for work-queue keys; [ParseAgentID]
// reads it back, because a controller's name holds no slash and an agent's neither
// (jenkins.model.Jenkins#checkGoodName).
func (id AgentID) String() string { return string(id.Controller) + "/" + id.Name }

// ParseAgentID reads what [AgentID.String] wrote.
func ParseAgentID(s string) (AgentID, error) {
	controller, name, ok := strings.Cut(s, "/")
	if !ok || controller == "" || name == "" {
		return AgentID{}, fmt.Errorf("agent %q: want controller/agent", s)
	}
	return AgentID{Controller: ControllerID(controller), Name: name}, nil
}
