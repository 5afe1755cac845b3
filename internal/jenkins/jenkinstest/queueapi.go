// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// queuePages is /queue/ and what lies below.
func (c *call) queuePages() {
	switch {
	case c.isAPI():
		c.api("hudson.model.Queue", c.exportQueue)
	case len(c.path) == 0:
		c.slashPage("Queue", "queue/")
	case c.path[0] == "cancelItem" && len(c.path) == 1:
		c.cancelByID()
	case c.path[0] == "item" && len(c.path) >= 2:
		c.next()
		c.itemPage(c.next())
	default:
		c.notFound()
	}
}

// exportQueue leaves out items whose task the caller cannot read; those that can only be
// discovered appear by name.
func (c *call) exportQueue(o *object) {
	var readable, discoverable []*item
	for _, it := range c.j.snapshot() {
		switch jb := it.task.taskJob(); {
		case c.who.canJob(JobRead, jb):
			readable = append(readable, it)
		case c.who.canJob(JobDiscover, jb):
			discoverable = append(discoverable, it)
		}
	}
	o.List("discoverableItems", 1, false, func() int { return len(discoverable) }, func(i int, w *exportWriter, p pruner) {
		d := w.begin(p, "hudson.model.Queue$StubItem")
		d.Obj("task", 1, false, func() (string, func(*object)) {
			return "", func(t *object) { t.str("name", 999, discoverable[i].task.taskName) }
		})
		d.end()
	})
	o.List("items", 1, false, func() int { return len(readable) }, func(i int, w *exportWriter, p pruner) {
		in := w.begin(p, itemClasses[readable[i].stage])
		c.j.exportItem(in, readable[i])
		in.end()
	})
}

// everywhere is the visibility of an item's properties: shown at every depth.
const everywhere = 999

// exportItem writes the fields of an item; they differ by stage.
func (j *Jenkins) exportItem(o *object, it *item) {
	o.List("actions", everywhere, false, func() int { return len(actionsOf(it.causes, it.params)) }, func(i int, w *exportWriter, p pruner) {
		exportAction(w, p, actionsOf(it.causes, it.params)[i])
	})
	flag := func(name string, v bool) { o.bool(name, everywhere, func() bool { return v }) }
	number := func(name string, t time.Time) { o.int(name, everywhere, j.clock(t).UnixMilli) }
	flag("blocked", it.stage == stageBlocked)
	flag("buildable", it.stage == stageBuildable || it.stage == stagePending)
	o.int("id", everywhere, func() int64 { return it.id })
	number("inQueueSince", it.since)
	o.str("params", everywhere, it.paramsText)
	o.bool("stuck", everywhere, func() bool { return it.stage == stageBuildable && j.stuck(it) })
	o.Obj("task", everywhere, false, func() (string, func(*object)) { return it.task.taskClass(), it.exportTask })
	o.str("url", everywhere, func() string { return "queue/item/" + strconv.FormatInt(it.id, 10) + "/" })
	j.exportWhy(o, it)
	switch it.stage {
	case stageWaiting:
		number("timestamp", it.due)
	case stageLeft:
		number("buildableStartMilliseconds", it.buildable)
		flag("cancelled", it.cancelled)
		o.Obj("executable", everywhere, false, it.exportExecutable)
	case stageBuildable, stagePending:
		number("buildableStartMilliseconds", it.buildable)
		flag("pending", it.stage == stagePending)
	case stageBlocked:
		number("buildableStartMilliseconds", it.buildable)
	}
}

func (j *Jenkins) exportWhy(o *object, it *item) {
	if _, ok := o.p.property("why", everywhere); !ok {
		return
	}
	o.key("why")
	if it.stage == stageLeft {
		o.w.null()
		return
	}
	o.w.str(j.why(it, o.w.lang))
}

func (it *item) exportExecutable() (string, func(*object)) {
	x := it.executable
	if x == nil {
		return "", nil
	}
	return x.executableClass(), func(o *object) {
		o.int("number", everywhere, func() int64 { return int64(x.executableNumber()) })
		o.str("url", everywhere, func() string { return o.w.base + x.executablePath() })
	}
}

// exportTask writes the task of an item.
func (it *item) exportTask(o *object) {
	jb := it.task.taskJob()
	if p, ok := it.task.(*placeholder); ok {
		o.Str("fullDisplayName", p.taskName)
		o.Str("name", p.taskName)
		o.Str("url", func() string { return jb.path() })
		return
	}
	if jb.kind != kindPipeline {
		o.OptStr("labelExpression", jb.labelExpression)
	}
	o.str("name", 3, func() string { return jb.name })
	o.str("url", 3, func() string { return o.w.base + jb.path() })
	o.str("color", 3, jb.color)
}

// cancelByID is POST /queue/cancelItem?id=.
func (c *call) cancelByID() {
	if !c.isPOST() {
		return
	}
	id, err := strconv.ParseInt(c.field("id"), 10, 64)
	if err != nil {
		c.empty(http.StatusNotFound)
		return
	}
	c.empty(c.cancelStatus(id))
}

func (c *call) cancelStatus(id int64) int {
	j := c.j
	j.mu.Lock()
	defer j.mu.Unlock()
	it := j.itemByID(id)
	switch {
	case it == nil || !c.who.canJob(JobRead, it.task.taskJob()):
		return http.StatusNotFound
	case !c.who.canJob(JobCancel, it.task.taskJob()):
		return http.StatusUnprocessableEntity
	case !j.cancelItem(it):
		return http.StatusInternalServerError
	default:
		return http.StatusNoContent
	}
}

// itemPage is /queue/item/<id>/: items stay for five minutes after leaving.
func (c *call) itemPage(text string) {
	id, err := strconv.ParseInt(text, 10, 64)
	c.j.mu.Lock()
	var it *item
	if err == nil {
		it = c.j.itemByID(id)
	}
	c.j.mu.Unlock()
	if it == nil || !c.holds(JobDiscover, it.task.taskJob()) {
		c.notFound()
		return
	}
	if !c.allowedOn(JobRead, it.task.taskJob()) {
		return
	}
	switch {
	case c.isAPI():
		c.api(c.itemClass(it), func(o *object) { c.j.exportItem(o, it) })
	case len(c.path) == 1 && c.path[0] == "cancelQueue":
		if c.isPOST() {
			c.cancelStatus(id)
			c.empty(http.StatusNoContent)
		}
	case len(c.path) == 0 && c.j.version.since(469):
		c.page("This is a queue item; its API is at api/")
	default:
		c.notFound()
	}
}

func (c *call) itemClass(it *item) string {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return itemClasses[it.stage]
}

// stuck is BuildableItem.isStuck: no online executor for the label, or a wait of ten
// times the estimate (a day without one).
func (j *Jenkins) stuck(it *item) bool {
	if text := it.label(); text != "" && j.labelOffline(j.labels.lookup(text)) {
		return true
	}
	waited, estimate := time.Since(it.buildable), it.task.taskJob().estimate()
	if estimate < 0 {
		return waited > 24*time.Hour
	}
	return waited > 10*max(estimate, time.Minute)
}

func (j *Jenkins) labelOffline(l *label) bool {
	for name := range j.labels.set(l) {
		if c := j.fleet.computers[name]; c != nil && !j.offline(c) {
			return false
		}
	}
	return true
}

// action is one entry of "actions": causes or parameters.
type action struct {
	causes []buildCause
	params []param
}

func actionsOf(causes []buildCause, params []param) []action {
	var list []action
	if len(params) > 0 {
		list = append(list, action{params: params})
	}
	return append(list, action{causes: slices.Clone(causes)})
}

func exportAction(w *exportWriter, p pruner, a action) {
	if a.params != nil {
		o := w.begin(p, "hudson.model.ParametersAction")
		o.List("parameters", 2, false, func() int { return len(a.params) }, func(i int, w *exportWriter, p pruner) { exportParam(w, p, a.params[i]) })
		o.end()
		return
	}
	o := w.begin(p, "hudson.model.CauseAction")
	o.List("causes", 2, false, func() int { return len(a.causes) }, func(i int, w *exportWriter, p pruner) {
		in := w.begin(p, a.causes[i].class)
		in.str("shortDescription", 3, func() string { return a.causes[i].text })
		if a.causes[i].user != "" {
			in.str("userId", 3, func() string { return a.causes[i].user })
			in.str("userName", 3, func() string { return a.causes[i].user })
		}
		in.end()
	})
	o.end()
}

// exportParam: secrets and files have no value.
func exportParam(w *exportWriter, p pruner, v param) {
	o := w.begin(p, v.valueClass())
	o.str("name", 3, func() string { return v.name })
	switch v.kind {
	case paramSecret, paramFile:
	case paramBoolean:
		o.bool("value", 3, func() bool { return v.value == "true" })
	default:
		o.str("value", 3, func() string { return v.value })
	}
	o.end()
}
