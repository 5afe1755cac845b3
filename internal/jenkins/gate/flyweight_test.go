// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"testing"
)

// TestFlyweights has Jenkins of stubs, which puts a flyweight on the first agent that takes it, by names from its own on.
func TestFlyweights(t *testing.T) {
	both(t, func(j *controller) {
		j.on("plain", "node", "labels", "el7")
		j.on("a", "node", "labels", "cleanable el7", "normal", true)
		there, elsewhere := j.item("flyweight", "x matrix", "label", "el7"), j.item("flyweight", "matrix", "label", "el7")
		own, pipeline := j.item("flyweight", "x other", "label", "plain"), j.item("flyweight", "pipeline")
		if j.may(there) != would || j.may(elsewhere) != "" || j.may(own) != "" || j.may(pipeline) != "" || j.may(j.item("job", "x no flyweight", "label", "el7")) != "" {
			j.Errorf("%q %q %q %q", j.may(there), j.may(elsewhere), j.may(own), j.may(pipeline))
		}
		j.on("plain", "disconnect")
		if j.may(elsewhere) != would {
			j.Error("the agent where it went is offline, and it may go to the next, which is not clean")
		}
		j.on("plain", "connect")
		j.on("", "disconnect") // without the built-in node, what has no label goes to any agent that takes such
		if j.may(pipeline) != would {
			j.Error("a pipeline may fall onto an agent that is not clean")
		}
		j.on("", "connect")
		for _, stage := range []string{"waiting", "blocked", "buildable"} {
			j.do(command{"do": "builtIn", "executors": 2, "normal": true, "refuses": true})
			if said := j.do(command{"do": "may", "item": pipeline, "stage": stage}); said != would {
				j.Errorf("%s, and the built-in node does not take it, so that it may fall onto an agent: %v", stage, said)
			}
			j.do(command{"do": "builtIn", "executors": 2, "normal": true})
			if said := j.do(command{"do": "may", "item": pipeline, "stage": stage}); said != nil {
				j.Errorf("%s, and the built-in node takes it: %v", stage, said)
			}
		}
		j.must("claim", "a", "attempt", 1, "job", "slot")
		j.must("grant", "a", "attempt", 1)
		if got := j.may(there); got != "" {
			j.Errorf("the agent where it goes is clean: %s", got)
		}
		j.on("a", "start", "item", there, "flyweight", true)
		real := j.item("job", "real")
		if got := j.take("a", real); got != causes["unclean"] {
			j.Errorf("beside the flyweight: %q", got)
		}
		j.on("a", "end", "item", there)
		if got := j.take("a", real); got != causes["unclean"] {
			j.Errorf("after the flyweight, which no executor shows: %q", got)
		}
		status := j.read(j.do(command{"do": "status"}))
		if events := j.read(j.do(command{"do": "events", "session": status.Session, "since": "2"})).Events; len(events) != 2 || events[0]["event"] != "consumed" {
			j.Errorf("a flyweight took a clean agent, and is told as %v", events)
		}
		j.must("claim", "a", "attempt", 2, "job", "slot")
		j.must("grant", "a", "attempt", 2)
		j.on("a", "breaks", "what", "channel", "how", "error")
		if j.may(there) != would {
			j.Error("nobody can tell where it goes, and it may")
		}
	})
}

func TestAFlyweightBesideABuildIsToldAsContaminated(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.must("claim", "a", "attempt", 1)
		j.must("grant", "a", "attempt", 1)
		j.on("a", "assign", "item", j.item("job", "chosen"))
		j.on("a", "start", "item", j.item("flyweight", "fly", "label", "a"), "flyweight", true)
		status := j.read(j.do(command{"do": "status"}))
		if events := j.read(j.do(command{"do": "events", "session": status.Session, "since": "2"})).Events; len(events) != 1 || events[0]["event"] != "contaminated" {
			j.Errorf("told: %v", events)
		}
	})
}

func TestAFlyweightThatJenkinsPutsElsewhereThanIsBelievedMakesTheGateStrict(t *testing.T) {
	both(t, func(j *controller) {
		begin := func() float64 {
			for _, name := range []string{"a", "b"} {
				j.on(name, "node", "labels", "cleanable el7")
			}
			j.must("claim", "b", "attempt", 1)
			j.must("grant", "b", "attempt", 1)
			return j.item("flyweight", "b fly", "label", "b")
		}
		begin()
		fly := j.item("flyweight", "b", "label", "el7")
		early := j.item("flyweight", "a", "label", "el7")
		j.on("a", "start", "item", early, "flyweight", true) // where it was put before there was a gate
		j.on("a", "end", "item", early)
		if got := j.may(fly); got != "" {
			j.Errorf("it goes to the clean one, and: %s", got)
		}
		j.on("a", "start", "item", fly, "flyweight", true)
		j.on("a", "end", "item", fly)
		if got := j.may(fly); got != would {
			j.Errorf("Jenkins does not do as is believed, and it may start: %q", got)
		}
		j.must("claim", "a", "attempt", 2)
		j.must("grant", "a", "attempt", 2)
		if got := j.may(fly); got != "" {
			j.Errorf("all are clean where it could land: %s", got)
		}
		j.do(command{"do": "boot"})
		if got := j.may(begin()); got != "" {
			j.Errorf("after a restart: %s", got)
		}
	})
}

func TestFlyweightsGoWhereJenkinsBelievesThatALabelIs(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable el7")
		fly := j.item("flyweight", "matrix", "label", "el7")
		if j.do(command{"do": "may", "item": fly}) == nil || j.on("a", "believes", "label", "el7") != true {
			j.Error("it may start where its label is")
		}
		j.on("a", "relabel", "labels", "cleanable") // in place: what Jenkins remembers of the label is not forgotten
		if j.do(command{"do": "may", "item": fly}) == nil {
			j.Error("it may start where Jenkins believes its label to be")
		}
		j.on("a", "node", "labels", "cleanable")
		if said := j.do(command{"do": "may", "item": fly}); said != nil {
			j.Errorf("the label is forgotten, and: %v", said)
		}
	})
}

func TestFlyweightsWithoutALabelMayGoToExclusiveAgents(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		fly := j.item("flyweight", "pipeline")
		for _, c := range []struct {
			executors     int
			normal, lacks bool
			refused       bool
		}{
			{1, true, false, false},
			{1, true, true, false}, // it waits for the built-in node
			{0, true, true, true},  // which never has an executor
			{1, false, true, true}, // or is as exclusive as the agent
			{0, false, false, false},
		} {
			j.do(command{"do": "builtIn", "executors": c.executors, "normal": c.normal, "refuses": c.lacks})
			if said := j.do(command{"do": "may", "item": fly}); (said != nil) != c.refused {
				j.Errorf("%+v: %v", c, said)
			}
		}
	})
}

func TestFlyweightsTiedToTheBuiltInNodeGoThereWhoeverElseHasItsLabel(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable built-in")
		fly := j.item("flyweight", "matrix", "label", "built-in")
		if said := j.do(command{"do": "may", "item": fly}); said != nil {
			j.Errorf("it waits for an agent where it never goes: %v", said)
		}
		j.do(command{"do": "builtIn", "executors": 1, "normal": true, "refuses": true})
		if said := j.do(command{"do": "may", "item": fly}); said != nil {
			j.Errorf("it waits for the built-in node, and: %v", said)
		}
	})
}

func TestAFlyweightDuringACleanupSpoilsIt(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.must("claim", "a", "attempt", 1, "job", "slot")
		fly := j.item("flyweight", "matrix", "label", "a")
		j.on("a", "start", "item", fly, "flyweight", true) // it was there before the gate
		j.on("a", "end", "item", fly)
		if got := j.ask("grant", "a", "attempt", 1); got != "stale" {
			j.Errorf("granted: %s", got)
		}
		status := j.read(j.do(command{"do": "status"}))
		events := j.read(j.do(command{"do": "events", "session": status.Session, "since": "1"}))
		if len(events.Events) == 0 || events.Events[0]["event"] != "contaminated" || events.Events[0]["was"] != "claimed" {
			j.Errorf("events: %+v", events.Events)
		}
	})
}
