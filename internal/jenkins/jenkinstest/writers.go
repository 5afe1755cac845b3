// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"fmt"
	"maps"
	"slices"
)

// Other writers of nodes, and readers of labels: scripts, people with a configuration page open, JCasC, status pages.

// HoldNode is a script that has fetched the node object of an agent. The returned function edits that in place and updates
// the node; it reports whether that had any effect: once something has replaced the object, its edits are lost
// (jenkins.model.Nodes#updateNode returns false).
func (j *Jenkins) HoldNode(agent string) (relabel func(labelString string) bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	held := j.fleet.nodes[agent]
	if held == nil || held.builtIn() {
		return nil, fmt.Errorf("fetch node %q: %w", agent, ErrNoSuchAgent)
	}
	return func(labelString string) bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.fleet.nodes[agent] != held {
			return false
		}
		j.editLabels(agent, labelString, true)
		return true
	}, nil
}

// ReadLabel is a reader that found nothing cached for a label and computes its nodes now, as the queue and status pages do. The
// returned function keeps what it found. No lock guards the two (hudson.model.Label#getNodes): an edit in between, with
// its reset, is undone in the scheduler's eyes.
func (j *Jenkins) ReadLabel(text string) (keep func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := j.labels.lookup(text)
	b.fresh = false
	found, seen := maps.Clone(j.labels.set(b)), b.seen
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.labels.set(b) // which sweep this is
		b.nodes, b.seen = found, seen
	}
}

// SetLabelsInPlace edits a node's label string as a script does. Without update no label
// cache is reset, as after Node.setLabelString or Node.save alone.
func (j *Jenkins) SetLabelsInPlace(agent, labelString string, update bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.editLabels(agent, labelString, update)
}

// SaveLabels sets the label string as a person does who saves the agent's
// configuration page: the node object is replaced.
func (j *Jenkins) SaveLabels(agent, labelString, who string) {
	j.mu.Lock()
	previous := j.fleet.nodes[agent]
	j.mu.Unlock()
	if previous == nil {
		return
	}
	n, err := nodeFromDoc(previous.doc.clone())
	if err != nil {
		return
	}
	n.cause = previous.cause
	n.setLabels(labelString)
	j.replaceNode(j.ctx, previous, n, who)
}

// OpenConfigPage is a person who opens the agent's configuration page now. The returned
// function saves it: everything is as it was when the page was opened, except the label
// string, if another is given.
func (j *Jenkins) OpenConfigPage(agent string) (save func(labelString *string, who string), err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	seen := j.fleet.nodes[agent]
	if seen == nil || seen.builtIn() {
		return nil, fmt.Errorf("open configuration of %q: %w", agent, ErrNoSuchAgent)
	}
	doc := seen.doc.clone()
	return func(labelString *string, who string) {
		n, err := nodeFromDoc(doc.clone())
		if err != nil {
			return
		}
		if labelString != nil {
			n.setLabels(*labelString)
		}
		j.mu.Lock()
		previous := j.fleet.nodes[agent]
		if previous != nil {
			n.cause = previous.cause
		}
		j.mu.Unlock()
		if previous != nil {
			j.replaceNode(j.ctx, previous, n, who)
		}
	}, nil
}

// ApplyConfiguration is JCasC with a list of nodes: listed agents are rebuilt from it,
// their labels and, before 2.564, their temporary marks are lost; agents that are not
// listed are deleted unless they carry the property that keeps them.
func (j *Jenkins) ApplyConfiguration(specs []AgentSpec) error {
	listed := map[string]*node{}
	for _, spec := range specs {
		n, err := nodeFromDoc(j.nodeDoc(spec))
		if err != nil {
			return fmt.Errorf("apply configuration: %w", err)
		}
		listed[spec.Name] = n
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range sortedKeys(j.fleet.nodes) {
		old, n := j.fleet.nodes[name], listed[name]
		switch {
		case old.builtIn():
		case n != nil:
			if j.version.since(564) {
				n.cause = old.cause
			}
			j.noteLabels(name, old.labelString, n.labelString, "casc")
			j.putNode(n)
			delete(listed, name)
		case !old.keptByCasC():
			if c := j.fleet.computers[name]; c != nil {
				j.noteAgent(EntryDeleted, c, "casc")
			}
			j.dropNode(old)
		}
	}
	for _, name := range sortedKeys(listed) {
		j.createNode(listed[name], "casc")
	}
	return nil
}

func (n *node) keptByCasC() bool {
	props := n.doc.child("nodeProperties")
	return props != nil && slices.ContainsFunc(props.children, func(e *element) bool { return e.name == keepNodeProperty })
}
