// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
)

func (c *call) rootCreateItem() { c.createItem(c.j.root) }

// createItem makes or copies a job in a folder (hudson.model.ItemGroupMixIn).
func (c *call) createItem(folder *job) {
	if !c.isPOST() || !c.allowedOn(JobCreate, folder) {
		return
	}
	name := strings.TrimSpace(c.field("name"))
	if name == "" {
		c.failure("Query parameter 'name' is required")
		return
	}
	if problem := checkGoodName(name); problem != "" {
		c.failure(problem)
		return
	}
	c.j.mu.Lock()
	taken := folder.child(name) != nil
	c.j.mu.Unlock()
	if taken {
		c.failure("A job already exists with the name ‘" + name + "’")
		return
	}
	if c.field("mode") == "copy" {
		c.copyJob(folder, name)
		return
	}
	c.createFromXML(folder, name)
}

func (c *call) createFromXML(folder *job, name string) {
	ct := c.r.Header.Get("Content-Type")
	if ct == "" {
		c.refuse(http.StatusBadRequest, "No Content-Type header set")
		return
	}
	if !strings.HasPrefix(ct, "application/xml") && !strings.HasPrefix(ct, "text/xml") {
		c.failure("No mode given")
		return
	}
	data, ok := c.body()
	if !ok {
		return
	}
	if _, err := c.j.createJob(folder, name, data); err != nil {
		c.oops()
		return
	}
	c.empty(http.StatusOK)
}

func (c *call) copyJob(folder *job, name string) {
	c.j.mu.Lock()
	source := c.j.root.find(c.field("from"))
	if source == nil {
		source = folder.child(c.field("from"))
	}
	var doc []byte
	if source != nil {
		doc = source.document()
	}
	c.j.mu.Unlock()
	if source == nil {
		c.failure("No such job: " + c.field("from"))
		return
	}
	jb, err := c.j.createJob(folder, name, doc)
	if err != nil {
		c.oops()
		return
	}
	c.j.mu.Lock()
	jb.saved = false
	c.j.mu.Unlock()
	c.redirect(jb.path())
}

var errJobExists = errors.New("a job of that name exists")

func (j *Jenkins) createJob(folder *job, name string, data []byte) (*job, error) {
	jb, err := j.jobFromXML(name, data)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if folder.child(name) != nil {
		return nil, errJobExists
	}
	folder.add(jb)
	return jb, nil
}

// jobConfig is config.xml of a job: a POST updates the object in place, running builds
// keep their old settings.
func (c *call) jobConfig(jb *job) {
	switch c.r.Method {
	case http.MethodGet:
		if !c.who.canJob(JobExtendedRead, jb) {
			c.denied(JobExtendedRead)
			return
		}
		c.j.mu.Lock()
		doc := jb.document()
		c.j.mu.Unlock()
		c.xml(doc)
	case http.MethodPost:
		c.postJobConfig(jb)
	default:
		c.refuse(http.StatusBadRequest, "")
	}
}

func (c *call) postJobConfig(jb *job) {
	if !c.allowedOn(JobConfigure, jb) {
		return
	}
	data, ok := c.body()
	if !ok {
		return
	}
	// Unlike all other documents this one is read as text, and hudson.util.CharacterEncodingFilter leaves XML alone.
	data = inUTF8(data, c.r.Header.Get("Content-Type"))
	if c.j.retarget(jb, data) {
		c.empty(http.StatusOK)
		return
	}
	root, err := parseXML(data)
	if err != nil || kind(root.name) != jb.kind {
		c.oops()
		return
	}
	c.j.mu.Lock()
	c.j.reconfigure(jb, root)
	jb.posted = data
	c.j.mu.Unlock()
	c.empty(http.StatusOK)
}

// retarget takes a document that is the job's but for the label that it is tied to, and reports whether it was one: that
// is what most posts are, and all else of it was read before.
func (j *Jenkins) retarget(jb *job, data []byte) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	label, same := assignment(data, jb.posted)
	old, back := assignment(jb.posted, data)
	field := jb.doc.child("assignedNode")
	if !same || !back || field == nil || field.text != string(old) {
		return false
	}
	rendered := jb.rendered
	field.text = string(label)
	j.reconfigure(jb, jb.doc)
	if _, same := assignment(rendered, rendered); same {
		before, rest, _ := bytes.Cut(rendered, assignedNode)
		_, after, _ := bytes.Cut(rest, assignedNodeEnd)
		jb.rendered = slices.Concat(before, assignedNode, label, assignedNodeEnd, after)
	}
	jb.posted = data
	return true
}

var assignedNode, assignedNodeEnd = []byte("<assignedNode>"), []byte("</assignedNode>")

// assignment returns the text of a document's only assignedNode, if it is nothing but plain characters, and reports
// whether another document is the same before and behind it.
func assignment(doc, other []byte) (label []byte, same bool) {
	before, rest, found := bytes.Cut(doc, assignedNode)
	label, after, ended := bytes.Cut(rest, assignedNodeEnd)
	if !found || !ended || len(label) == 0 || bytes.Contains(after, assignedNode) || bytes.ContainsFunc(label, notPlain) {
		return nil, false
	}
	middle, ok := bytes.CutPrefix(other, before)
	middle, end := bytes.CutSuffix(middle, after)
	return label, ok && end && bytes.HasPrefix(middle, assignedNode) && bytes.HasSuffix(middle, assignedNodeEnd)
}

func notPlain(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`<>&'"`, r) }

// reconfigure loads a new document. Items already buildable are regrouped, because
// labels are evaluated at each maintenance run.
func (j *Jenkins) reconfigure(jb *job, root *element) {
	var queued []*item
	for _, it := range j.queue.of(jb) {
		if it.stage == stageBuildable {
			j.queue.leave(it)
			queued = append(queued, it)
		}
	}
	jb.load(root, j.plugin(PluginNodeParameter))
	jb.saved = true
	for _, it := range queued {
		j.queue.enterBuildable(it)
	}
	j.scheduleMaintenance()
}

func (c *call) deleteJob(jb *job) {
	if !c.isPOST() || !c.allowedOn(JobDelete, jb) {
		return
	}
	c.j.mu.Lock()
	c.j.removeJob(jb, c.who.id())
	c.j.mu.Unlock()
	c.redirect(jb.parent.path())
}

// removeJob cancels what is queued and aborts what runs.
func (j *Jenkins) removeJob(jb *job, who string) {
	for _, k := range jb.sortedChildren() {
		j.removeJob(k, who)
	}
	for _, it := range j.queue.of(jb) {
		j.cancelItem(it)
	}
	for _, b := range jb.builds {
		j.abort(b, who)
		b.deleted = true
	}
	delete(jb.parent.children, strings.ToLower(jb.name))
}

func (c *call) disableJob(jb *job) { c.setDisabled(jb, "true") }
func (c *call) enableJob(jb *job)  { c.setDisabled(jb, "false") }

func (c *call) setDisabled(jb *job, value string) {
	if !c.isPOST() || !c.allowedOn(JobConfigure, jb) {
		return
	}
	c.j.mu.Lock()
	jb.setField("disabled", value)
	jb.conf.disabled = value == "true"
	if jb.conf.disabled {
		for _, it := range c.j.queue.of(jb) {
			c.j.cancelItem(it)
		}
	}
	c.j.mu.Unlock()
	c.redirect(jb.path())
}

func (c *call) renameJob(jb *job) {
	if !c.isPOST() || !c.allowedOn(JobConfigure, jb) {
		return
	}
	name := c.field("newName")
	if problem := checkGoodName(name); problem != "" {
		c.failure(problem)
		return
	}
	c.j.mu.Lock()
	other := jb.parent.child(name)
	if other == nil || other == jb {
		delete(jb.parent.children, strings.ToLower(jb.name))
		jb.name = name
		jb.parent.add(jb)
	}
	c.j.mu.Unlock()
	if other != nil && other != jb {
		c.failure("The name ‘" + name + "’ is already in use.")
		return
	}
	c.redirect(jb.path())
}
