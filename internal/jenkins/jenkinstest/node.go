// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// Names of the built-in node: in URLs, in listings, as a label.
const (
	builtInURLName = "(built-in)"
	builtInOldName = "(master)"
	builtInDisplay = "Built-In Node"
	builtInLabel   = "built-in"
)

// Classes that decide how an agent is started and kept.
const (
	classInbound     = "hudson.slaves.JNLPLauncher"
	classAlways      = "hudson.slaves.RetentionStrategy$Always"
	classDemand      = "hudson.slaves.RetentionStrategy$Demand"
	classDumbSlave   = "hudson.slaves.DumbSlave"
	aliasDumbSlave   = "slave"
	modeExclusive    = "EXCLUSIVE"
	modeNormal       = "NORMAL"
	causeElement     = "temporaryOfflineCause"
	keepNodeProperty = "io.jenkins.plugins.casc.core.CascKeepNode"
)

// node is the stored configuration of an agent. Most changes replace the object;
// only in-place edits (offline marks, scripts, LabelFinders) alter it.
type node struct {
	name     string // "" for the built-in node
	class    string
	doc      *element // without the temporary offline cause
	rendered []byte   // document as served, nil when stale

	description, remoteFS, mode string
	launcher, retention         string
	demandDelay, idleDelay      int // minutes
	executors                   int
	labelString                 string
	labels                      []string      // tokens of labelString
	cause                       *offlineCause // temporary mark, since 2.482 part of the node
}

var errNotNode = errors.New("root element is no node type")

// nodeFields are the elements that hudson.slaves.DumbSlave loads; others vanish.
var nodeFields = []string{
	"name", "description", "remoteFS", "numExecutors", "mode", "retentionStrategy", "launcher", "label", "nodeProperties", "userId",
}

// nodeFromXML loads a document as XStream does: unknown elements of a permanent
// agent are dropped, a missing launcher becomes the inbound one.
func nodeFromXML(data []byte) (*node, error) {
	root, err := parseXML(data)
	if err != nil {
		return nil, err
	}
	return nodeFromDoc(root)
}

func nodeFromDoc(root *element) (*node, error) {
	n := &node{class: root.name, doc: root}
	switch {
	case root.name == aliasDumbSlave || root.name == classDumbSlave:
		n.class, root.name = classDumbSlave, aliasDumbSlave
	case !strings.Contains(root.name, "."):
		return nil, errNotNode
	}
	if c := root.child(causeElement); c != nil {
		n.cause = causeFromXML(c)
	}
	root.children = slices.DeleteFunc(root.children, func(e *element) bool {
		return e.name == causeElement || n.class == classDumbSlave && !slices.Contains(nodeFields, e.name)
	})
	n.load()
	return n, nil
}

// load reads the fields out of the document.
func (n *node) load() {
	d := n.doc
	n.name, n.description, n.remoteFS = d.value("name"), d.value("description"), d.value("remoteFS")
	n.executors = d.intValue("numExecutors", 1)
	if n.mode = strings.TrimSpace(d.value("mode")); n.mode != modeExclusive {
		n.mode = modeNormal
	}
	if n.launcher = d.child("launcher").attr("class"); n.launcher == "" {
		n.launcher = classInbound
	}
	retention := d.child("retentionStrategy")
	if n.retention = retention.attr("class"); n.retention == "" {
		n.retention = classAlways
	}
	if n.retention == classDemand {
		n.demandDelay, n.idleDelay = retention.intValue("inDemandDelay", 0), retention.intValue("idleDelay", 1)
	}
	n.setLabels(d.value("label"))
}

func (n *node) setLabels(labelString string) {
	n.labelString = strings.TrimSpace(labelString)
	n.labels = labelexpr.Tokens(labelString)
	n.rendered = nil
	if n.doc != nil {
		n.doc.setValue("label", n.labelString)
	}
}

// document is the configuration as GET config.xml shows it.
func (n *node) document(withCause bool) []byte {
	if n.rendered == nil {
		d := n.doc
		if n.cause != nil && withCause {
			d = &element{name: d.name, attrs: d.attrs, children: slices.Insert(slices.Clone(d.children), 0, n.cause.element())}
		}
		n.rendered = d.render()
	}
	return n.rendered
}

// relabelled is the node that a posted document describes if that differs from the node's own in plain text of the
// label alone, and else nil: most of what is posted does, and to read it whole takes longer than all else.
func (n *node) relabelled(data []byte, withCause bool) *node {
	const begin, end = "\n  <label>", "</label>"
	own := n.document(withCause)
	from := bytes.Index(own, []byte(begin)) + len(begin)
	if from < len(begin) {
		return nil
	}
	to := from + bytes.Index(own[from:], []byte(end))
	if to < from || len(data) < len(own)-(to-from) || !bytes.HasPrefix(data, own[:from]) || !bytes.HasSuffix(data, own[to:]) {
		return nil
	}
	label := data[from : len(data)-(len(own)-to)]
	if bytes.ContainsFunc(label, func(r rune) bool { return r < firstPrintable || r > unicode.MaxASCII || strings.ContainsRune("<&]", r) }) {
		return nil
	}
	m, doc := *n, *n.doc
	doc.children = slices.Clone(n.doc.children)
	for i, c := range doc.children {
		if c.name == "label" {
			doc.children[i] = &element{name: c.name, attrs: c.attrs}
			break
		}
	}
	m.doc = &doc
	m.setLabels(string(label))
	return &m
}

// selfLabel is the label that every node carries and nobody can remove.
func (n *node) selfLabel() string {
	if n.builtIn() {
		return builtInLabel
	}
	return n.name
}

func (n *node) builtIn() bool { return n.name == "" }

func (n *node) displayName() string {
	if n.builtIn() {
		return builtInDisplay
	}
	return n.name
}

// has reports whether the node itself carries the label, without any cache.
func (n *node) has(label string) bool {
	return label == n.selfLabel() || slices.Contains(n.labels, label)
}

func (n *node) inbound() bool { return n.launcher == classInbound }

// illegalInNames are the characters that jenkins.model.Jenkins#checkGoodName refuses.
const illegalInNames = `?*/\%!@#$^&|<>[]:;`

// checkGoodName returns what is wrong with a name of a node or job, "" if nothing.
func checkGoodName(name string) string {
	if strings.TrimSpace(name) == "" {
		return "No name is specified"
	}
	if name == "." || name == ".." {
		return "“" + name + "” is not an allowed name"
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return "No control characters are allowed in the name: " + strings.Map(printable, name)
		}
		if strings.ContainsRune(illegalInNames, r) {
			return "‘" + string(r) + "’ is an unsafe character"
		}
	}
	if strings.HasSuffix(name, ".") {
		return "A name cannot end with ‘.’"
	}
	return ""
}

func printable(r rune) rune {
	if unicode.IsControl(r) {
		return '?'
	}
	return r
}
