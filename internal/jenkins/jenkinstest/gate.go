// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest/gatemodel"
)

// GateOptions describe a gate to install: the model of pitcrew's part inside Jenkins. The zero value is a sound one with the
// labels cleanable, dirty and clean, registered by an init script.
type GateOptions struct {
	Cleanable, Dirty, Clean string // labels
	Version                 string // of pitcrew, "" means "test"
	Hook                    string // what registers it, "" means "init script"
	Protocol                int    // that it speaks, 0 means the present one
	Broken                  bool   // its address answers 500; what it vetoes stays vetoed
	DiskFull                bool   // no node can be saved
}

// gateName is what the gate's hooks are registered under.
const gateName = "pitcrew gate"

// gate is an installed one.
type gate struct {
	ledger *gatemodel.Ledger
	model  *gatemodel.Gate
	hooks  *Hooks
	broken bool
}

// InstallGate registers the gate, as an init script does if it is called from Options.Boot, and else as the script console
// does. One that is there already is replaced, and the new one knows what it knew. It returns what the script prints. The
// gate serves /pitcrew-gate/ from then on. A restart forgets it and all it knew, a reload does not.
func (j *Jenkins) InstallGate(o GateOptions) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	old := j.gate
	installed := &gate{broken: o.Broken}
	if old != nil {
		installed.ledger = old.ledger
	} else {
		j.gates++
		installed.ledger = gatemodel.NewLedger(fmt.Sprintf("%s-%d", j.life.session, j.gates))
	}
	installed.model = gatemodel.New(gatemodel.Config{
		Cleanable: cmp.Or(o.Cleanable, "cleanable"), Dirty: cmp.Or(o.Dirty, "dirty"), Clean: cmp.Or(o.Clean, "clean"),
		Version: cmp.Or(o.Version, "test"), Hook: cmp.Or(o.Hook, "init script"), Protocol: o.Protocol,
	}, installed.ledger, gateWorld{j, o.DiskFull})
	installed.hooks = installed.register(j, o.DiskFull)
	j.addHooks(installed.hooks)
	if old != nil {
		j.removeHooks(old.hooks)
	}
	j.gate = installed
	return installed.model.Registered(old != nil)
}

// RemoveGate takes the gate out, with all it knew.
func (j *Jenkins) RemoveGate() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.gate != nil {
		j.removeHooks(j.gate.hooks)
		j.gate = nil
	}
}

// register connects the gate with the extension points.
func (g *gate) register(j *Jenkins, full bool) *Hooks {
	m := g.model
	return &Hooks{
		Name:    gateName,
		CanRun:  func(it ItemView) string { return m.CanRun(gateItem(j, it)) },
		CanTake: func(v NodeView, it ItemView) string { return m.CanTake(&gateNode{j: j, n: v.n}, gateItem(j, it)) },
		OnLeft: func(v NodeView, it ItemView) {
			if !it.Cancelled {
				m.Left(gateItem(j, it), gateComputer{j, v.c, full}, v.Executor)
			}
		},
		TaskStarted:   func(v NodeView, it ItemView, build string) { m.Begun(v.Name, it.ID, build) },
		TaskCompleted: func(v NodeView, _ ItemView) { m.Ended(v.Name) },
		OnOnline:      func(v NodeView) { m.Online(v.Name) },
		OnOffline:     func(v NodeView) { m.Offline(v.Name) },
		OnUpdated: func(before, after NodeView) {
			m.NodeUpdated(&gateNode{j: j, n: before.n}, &gateNode{j: j, n: after.n}, before.n != after.n)
		},
		OnDeleted: func(v NodeView) { m.NodeDeleted(v.Name) },
	}
}

// gatePages is what the gate serves. Each of its methods asks for permissions itself.
func (c *call) gatePages() {
	what := c.next()
	c.j.mu.Lock()
	g, life := c.j.gate, c.j.life
	c.j.mu.Unlock()
	verb := what == "claim" || what == "grant" || what == "revoke" || what == "hold" || what == "withdraw"
	switch {
	case g == nil || len(c.path) > 0 || !verb && what != "status" && what != "events":
		c.notFound()
	case verb && !c.isPOST():
	case g.broken:
		c.oops()
	case what == "events":
		c.gateEvents(g, life)
	default:
		c.gateAnswer(c.gateLocked(func() gatemodel.Answer {
			if verb {
				return g.model.Do(what, gateCaller{c.who}, c.parameter("request"))
			}
			return g.model.Status(gateCaller{c.who}, c.rootURL())
		}))
	}
}

// gateLocked runs f under the queue lock; what it throws is a 500.
func (c *call) gateLocked(f func() gatemodel.Answer) (a gatemodel.Answer) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	defer func() {
		if recover() != nil {
			a = gatemodel.Answer{Code: http.StatusInternalServerError}
		}
	}()
	return f()
}

// gateEvents waits without the queue lock. The connection breaks if the controller dies meanwhile.
func (c *call) gateEvents(g *gate, in life) {
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	defer context.AfterFunc(in.ctx, cancel)()
	a := g.model.Events(ctx, &c.j.mu, gateCaller{c.who}, c.parameter("session"), c.parameter("since"), c.parameter("wait"))
	if in.ctx.Err() != nil {
		panic(http.ErrAbortHandler)
	}
	c.gateAnswer(a)
}

func (c *call) gateAnswer(a gatemodel.Answer) {
	switch {
	case a.Denied != "":
		c.denied(Permission(a.Denied))
	case a.Body == "":
		c.oops()
	default:
		c.w.Header().Set("Content-Type", gatemodel.ContentType)
		c.w.WriteHeader(a.Code)
		_, _ = c.w.Write([]byte(a.Body)) // the client went away
	}
}

// gateCaller is who asks. Permissions on agents hold for all of them.
type gateCaller struct{ who *principal }

func (c gateCaller) May(p gatemodel.Permission) bool                     { return c.who.can(Permission(p)) }
func (c gateCaller) MayOn(_ gatemodel.Node, p gatemodel.Permission) bool { return c.May(p) }
