// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// What agents that share a machine must not do beside each other.

// mates are the other managed agents of a machine, of which the engine knew before t was claimed that
// they share it. What is not managed, no machine id is looked up for.
func (a *auditor) mates(t *truth) []*truth {
	if a.shop.machine == nil {
		return nil
	}
	knew := func(n *truth) bool {
		return !n.known.IsZero() && n.known.Before(t.claimed) && n.state != hygiene.Unmanaged
	}
	var out []*truth
	for name, n := range a.agents {
		if n != t && a.shop.machineOf(name) == a.shop.machineOf(t.name) && knew(n) && knew(t) {
			out = append(out, n)
		}
	}
	return out
}

// noticed is how long after it began a build or an edit on a mate has been seen by a look.
const noticed = 90 * time.Second

// besideMates judges the start of a cleanup.
func (a *auditor) besideMates(t *truth, e jenkinstest.Entry) {
	for _, n := range a.mates(t) {
		for build, since := range n.real {
			if e.At.Sub(since) > noticed {
				a.fault("I4: a cleanup started on %s beside %s on %s, the same machine", t.name, build, n.name)
			}
		}
		if n.cleaned() {
			a.fault("I4: a cleanup started on %s beside one on %s, the same machine", t.name, n.name)
		}
		if n.labels.Has(hygiene.LabelClean) && e.At.Sub(n.shows) > noticed && e.At.Sub(n.edited) > noticed {
			a.fault("I4: a cleanup started on %s while %s of the same machine wore clean", t.name, n.name)
		}
	}
}

// cleaned reports whether a cleanup runs that its attempt knows of.
func (t *truth) cleaned() bool {
	return t.own > 0 && (t.state == hygiene.Claimed || t.state == hygiene.Running || t.state == hygiene.Reconnecting)
}

// givenOnMachine judges the label clean given by the engine.
func (a *auditor) givenOnMachine(t *truth, e jenkinstest.Entry) {
	for _, n := range a.mates(t) {
		if n.cleaned() {
			a.fault("I2: %s got the label clean while its machine was cleaned through %s", e.Agent, n.name)
		}
	}
}
