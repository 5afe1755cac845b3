// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// NodeConfig is the stored configuration of an agent (hudson.model.Node), as far as it matters here.
type NodeConfig struct {
	Name           string
	Kind           string // element name of the root: "slave" for permanent agents, else a plugin's class
	Mode           string // EXCLUSIVE or NORMAL
	Executors      int
	LauncherClass  string
	RetentionClass string

	LabelString string   // as the operator wrote it
	Labels      []string // its labels: neither the agent's own name nor those that plugins add

	// TemporarilyOffline: the document carries a mark. Since Jenkins 2.482 posting a document sets its mark, or takes
	// the present one away.
	TemporarilyOffline bool

	doc     []byte
	outline *outline
	mark    []byte // the element of the offline mark; nil if there is none
}

// NodeConfig reads the configuration of an agent: one request, two if it is not there. It needs Agent/ExtendedRead or
// Agent/Configure.
func (c *Client) NodeConfig(ctx context.Context, agent string) (NodeConfig, error) {
	path, err := computerPath(agent)
	if err != nil {
		return NodeConfig{}, invalid("read configuration", agentObject(agent), err)
	}
	var n NodeConfig
	err = lookTwice(ctx, func() error {
		n, err = c.readNode(ctx, agent, path, false)
		return err
	})
	return n, err
}

// readNode makes one request. paced: the rate limiter was asked before.
func (c *Client) readNode(ctx context.Context, agent, path string, paced bool) (NodeConfig, error) {
	doc, err := c.getBytes(ctx, "read configuration", agentObject(agent), path+"/config.xml", paced)
	if err != nil {
		return NodeConfig{}, err
	}
	n, err := parseNodeConfig(doc)
	if err != nil {
		return NodeConfig{}, invalid("read configuration", agentObject(agent), err)
	}
	if n.Name != agent {
		// Posting a document under another name renames the agent, which closes its connection and kills its builds.
		return NodeConfig{}, &Error{
			Op: "read configuration", Object: agentObject(agent), Kind: KindConflict,
			Err: fmt.Errorf("the document is that of %q", n.Name),
		}
	}
	return n, nil
}

func parseNodeConfig(doc []byte) (NodeConfig, error) {
	o, err := parseOutline(doc)
	if err != nil {
		return NodeConfig{}, err
	}
	n := NodeConfig{Kind: o.root, doc: doc, outline: o}
	for i := range o.children {
		e := &o.children[i]
		switch e.name {
		case "launcher":
			n.LauncherClass = e.class
		case "retentionStrategy":
			n.RetentionClass = e.class
		case "temporaryOfflineCause":
			n.TemporarilyOffline, n.mark = true, doc[e.start:e.end]
		}
	}
	if n.Name, err = n.text("name"); err != nil {
		return NodeConfig{}, err
	}
	if n.LabelString, err = n.text("label"); err != nil {
		return NodeConfig{}, err
	}
	n.Labels = labelexpr.Tokens(n.LabelString)
	n.Mode, _ = n.text("mode") // odd documents have labels all the same
	count, _ := n.text("numExecutors")
	n.Executors, _ = strconv.Atoi(strings.TrimSpace(count))
	return n, nil
}

// text returns the text of a child of the root; a missing one is empty.
func (n *NodeConfig) text(name string) (string, error) {
	e, err := n.outline.child(name)
	if err != nil || e == nil {
		return "", err
	}
	if e.plain {
		if value, _, ok := decodedText(string(n.doc[e.from:e.to])); ok {
			return value, nil
		}
	}
	value, err := mixedText(n.doc[e.from:e.to])
	if err != nil {
		return "", fmt.Errorf("content of <%s>: %w", name, err)
	}
	return value, nil
}

// mixedText returns the text of a content with comments or CDATA, which Jenkins does not write but reads.
func mixedText(content []byte) (string, error) {
	var b strings.Builder
	for rest := content; len(rest) > 0; {
		var text []byte
		var found bool
		switch {
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			if text, rest, found = bytes.Cut(rest[len("<![CDATA["):], []byte("]]>")); !found {
				return "", errNotXML
			}
			b.Write(text)
		case bytes.HasPrefix(rest, []byte("<!--")):
			_, rest, _ = bytes.Cut(rest[len("<!--"):], []byte("-->"))
		case bytes.HasPrefix(rest, []byte("<?")):
			_, rest, _ = bytes.Cut(rest, []byte("?>"))
		case rest[0] == '<':
			return "", errNotText
		default:
			end := bytes.IndexByte(rest, '<')
			if end < 0 {
				end = len(rest)
			}
			value, _, ok := decodedText(string(rest[:end]))
			if !ok {
				return "", errNotXML
			}
			b.WriteString(value)
			rest = rest[end:]
		}
	}
	return b.String(), nil
}

// sameRest reports whether a and b are equal apart from their labels.
func sameRest(a, b *NodeConfig) bool {
	return bytes.Equal(withoutText(a.doc, a.outline, "label"), withoutText(b.doc, b.outline, "label"))
}
