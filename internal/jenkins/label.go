// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// LabelNodes returns the names of the agents that the scheduler would give jobs for a label or label expression to:
// one request. It is the scheduler's own, cached answer (hudson.model.Label#getNodes), which can lag behind the
// configuration of the agents. The built-in node has the empty name.
func (c *Client) LabelNodes(ctx context.Context, label string) ([]string, error) {
	nodes, err := c.labelNodes(ctx, label, "nodes[nodeName]")
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.NodeName)
	}
	return names, err
}

// Modes returns the mode (usage) of each agent that carries a label, by name: one request, of the same cache.
func (c *Client) Modes(ctx context.Context, label string) (map[string]string, error) {
	nodes, err := c.labelNodes(ctx, labelexpr.Atom(label).String(), "nodes[nodeName,mode]")
	modes := make(map[string]string, len(nodes))
	for _, n := range nodes {
		modes[n.NodeName] = n.Mode
	}
	return modes, err
}

// wireNode is an agent as listed by a label, the only place where Jenkins exports Mode.
type wireNode struct {
	NodeName     string `json:"nodeName"`
	Mode         string `json:"mode"`
	NumExecutors int    `json:"numExecutors"`
}

func (c *Client) labelNodes(ctx context.Context, label, fields string) ([]wireNode, error) {
	object := "label " + label
	if label == "" || label == "." || label == ".." || strings.ContainsAny(label, "/;") {
		return nil, invalid("read agents", object, errors.New("not a label with an address"))
	}
	var answer struct {
		Nodes []wireNode `json:"nodes"`
	}
	_, err := c.getJSON(ctx, "read agents", object, "/label/"+url.PathEscape(label)+"/api/json", tree(fields), &answer)
	return answer.Nodes, err
}
