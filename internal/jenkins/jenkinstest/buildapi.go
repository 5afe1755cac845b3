// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"strconv"
	"strings"
)

// buildPage resolves /<number or permalink>/... below a job.
func (c *call) buildPage(jb *job) {
	b := c.findBuild(jb, c.next())
	if b == nil {
		c.notFound()
		return
	}
	switch {
	case c.isAPI():
		c.api(b.executableClass(), func(o *object) { b.exportExecutable(o) })
	case len(c.path) == 0:
		c.slashPage(b.fullDisplay(), b.path())
	case len(c.path) == 1 && buildPages[c.path[0]] != nil:
		buildPages[c.path[0]](c, b)
	case len(c.path) >= 4 && c.path[0] == "parameters" && c.path[1] == "parameter":
		c.keptFile(b)
	case len(c.path) == 2 && c.path[0] == "logText" && c.path[1] == "progressiveText":
		c.progressiveText(b)
	default:
		c.notFound()
	}
}

var buildPages = map[string]func(*call, *build){
	"consoleText": (*call).consoleText, "stop": (*call).stopBuild, "term": (*call).termBuild, "kill": (*call).termBuild,
	"submitDescription": (*call).submitDescription, "doDelete": (*call).deleteBuild, "toggleLogKeep": (*call).toggleKeep, "console": (*call).consolePage,
}

func (c *call) findBuild(jb *job, id string) *build {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	for _, ref := range buildRefs {
		if ref.name == id {
			return jb.last(ref.ok)
		}
	}
	if n, err := strconv.Atoi(id); err == nil {
		return jb.build(n)
	}
	return nil
}

func (b *build) executableClass() string { return buildClasses[b.job.kind] }
func (b *build) executablePath() string  { return b.path() }

// exportExecutable writes a build: hudson.model.Run's properties, then those of
// AbstractBuild, which Pipelines do not have.
func (b *build) exportExecutable(o *object) {
	j := o.w.j
	o.List("actions", 1, false, func() int { return len(actionsOf(b.causes, b.params)) }, func(i int, w *exportWriter, p pruner) {
		exportAction(w, p, actionsOf(b.causes, b.params)[i])
	})
	o.List("artifacts", 1, false, func() int { return 0 }, nil)
	o.Bool("building", func() bool { return b.building })
	o.OptStr("description", func() (string, bool) { return b.description, b.description != "" })
	o.Str("displayName", b.display)
	o.Int("duration", func() int64 { return b.duration.Milliseconds() })
	o.Int("estimatedDuration", func() int64 { return b.job.estimate().Milliseconds() })
	o.Obj("executor", 1, false, func() (string, func(*object)) {
		if b.complete || b.executor == nil {
			return "", nil
		}
		return "", func(x *object) { x.Int("number", func() int64 { return int64(b.executor.number) }) }
	})
	o.Str("fullDisplayName", b.fullDisplay)
	o.Str("id", func() string { return strconv.Itoa(b.number) })
	if j.version.since(369) {
		o.Bool("inProgress", b.inProgress)
	}
	o.Bool("keepLog", func() bool { return b.keep })
	o.int("number", 2, func() int64 { return int64(b.number) })
	o.Int("queueId", func() int64 { return b.queueID })
	o.OptStr("result", func() (string, bool) { return b.result, b.result != "" })
	o.Int("timestamp", func() int64 { return j.clock(b.started).UnixMilli() })
	o.str("url", 2, func() string { return o.w.base + b.path() })
	if b.job.kind != kindPipeline {
		o.OptStr("builtOn", func() (string, bool) { return b.node, b.nodeKnown })
		o.Obj("changeSet", 1, false, func() (string, func(*object)) { return "hudson.scm.EmptyChangeLogSet", func(*object) {} })
		o.List("culprits", 1, false, func() int { return 0 }, nil)
	}
}

func (c *call) consoleText(b *build) {
	c.w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(b.console.text()) // the client went away
}

func (c *call) consolePage(b *build) { c.page(b.fullDisplay() + " Console") }

func (c *call) progressiveText(b *build) {
	start, err := strconv.Atoi(c.field("start"))
	if err != nil {
		start = 0
	}
	p := b.console.progressive(start, c.j.version)
	h := c.w.Header()
	h.Set("Content-Type", "text/plain;charset=UTF-8")
	h.Set("X-Text-Size", strconv.Itoa(p.size))
	if p.more {
		h.Set("X-More-Data", "true")
	}
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(p.body) // the client went away
}

// stopBuild is asynchronous, and 302 even when nothing runs.
func (c *call) stopBuild(b *build) {
	if !c.isPOST() || !c.allowedOn(JobCancel, b.job) {
		return
	}
	c.j.mu.Lock()
	c.j.abort(b, c.who.id())
	c.j.mu.Unlock()
	c.redirect(b.path())
}

// termBuild is term and kill: Pipelines have them, FreeStyle builds do not.
func (c *call) termBuild(b *build) {
	if b.job.kind != kindPipeline {
		c.notFound()
		return
	}
	c.stopBuild(b)
}

func (c *call) submitDescription(b *build) {
	if !c.isPOST() || !c.allowedOn(RunUpdate, b.job) {
		return
	}
	c.j.mu.Lock()
	b.description = strings.TrimSpace(c.field("description"))
	c.j.mu.Unlock()
	c.redirect(b.path())
}

func (c *call) deleteBuild(b *build) {
	if !c.isPOST() || !c.allowedOn(RunDelete, b.job) {
		return
	}
	c.j.mu.Lock()
	b.job.remove(b)
	c.j.mu.Unlock()
	c.redirect(b.job.path())
}

func (c *call) toggleKeep(b *build) {
	if !c.isPOST() || !c.allowedOn(RunUpdate, b.job) {
		return
	}
	c.j.mu.Lock()
	b.keep = !b.keep
	c.j.mu.Unlock()
	c.redirect(b.path())
}
