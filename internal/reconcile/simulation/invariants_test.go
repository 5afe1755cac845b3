// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestMain makes a normal run a fixed set of few traces, each most of an hour of a fleet's life, so
// that a change is judged by what it changes. The long run draws many at random. RAPID_CHECKS and
// RAPID_SEED have the last word.
func TestMain(m *testing.M) {
	settings := map[string]string{"checks": "6", "seed": "1"}
	if long() {
		settings = map[string]string{"checks": "200"}
	}
	for name, value := range settings {
		if _, given := os.LookupEnv("RAPID_" + strings.ToUpper(name)); given {
			continue
		}
		if err := flag.Set("rapid."+name, value); err != nil {
			panic(err) // rapid has the flag
		}
	}
	os.Exit(m.Run())
}

// everything that can happen in a trace.
var everything = []string{
	"build", "build", "proper build", "pipeline", "labels", "jcasc", "offline", "connection",
	"controller", "daemon", "order", "queue", "recreate", "fault", "settings", "recipe", "pause",
}

// hold checks random traces of the given kinds. All invariants are judged in each.
func hold(t *testing.T, kinds ...string) {
	t.Helper()
	holdIf(t, false, kinds...)
}

// holdIf is hold on a controller with a gate, if gated.
func holdIf(t *testing.T, gated bool, kinds ...string) {
	t.Helper()
	t.Parallel()
	gen := traces(kinds...)
	rapid.Check(t, func(rt *rapid.T) {
		tr := gen.Draw(rt, "trace")
		tr.Gated = gated
		if problems := check(t, tr); len(problems) > 0 {
			rt.Fatalf("%s\n%s", strings.Join(problems, "\n"), tr)
		}
	})
}

func TestI1EveryContaminatedBuildIsReported(t *testing.T) {
	hold(t, "build", "build", "proper build", "labels", "order", "daemon")
}

func TestI1BehindAGateNoBuildStartsOnAnAgentThatWasUsed(t *testing.T) {
	holdIf(t, true, "build", "build", "proper build", "labels", "order", "daemon", "controller", "connection")
}

func TestI6NothingIsStuckBehindAGate(t *testing.T) { holdIf(t, true, everything...) }

func TestI2CleanIsGrantedOnlyForTheCurrentProof(t *testing.T) {
	hold(t, "proper build", "labels", "connection", "fault", "jcasc")
}

func TestI3OneCleanupPerAgentAtATime(t *testing.T) {
	hold(t, "proper build", "daemon", "daemon", "controller", "fault", "queue", "order")
}

func TestI4NoCleanupBesideABuildOrAgainstAPerson(t *testing.T) {
	hold(t, "build", "pipeline", "pipeline", "controller", "offline", "order")
}

func TestI5AFailingCleanupFailsNobody(t *testing.T) {
	hold(t, "proper build", "proper build", "fault", "queue", "labels")
}

func TestI6NothingIsStuck(t *testing.T) { hold(t, everything...) }

func TestI7ARestartLosesNothing(t *testing.T) {
	hold(t, "proper build", "daemon", "daemon", "daemon", "controller", "fault")
}

func TestI7AReloadLosesNothing(t *testing.T) {
	hold(t, "proper build", "settings", "recipe", "recipe", "pause", "daemon", "connection", "offline")
}

func TestI7ATimeInWhichNothingIsWrittenLosesNothing(t *testing.T) {
	hold(t, "proper build", "dry run", "daemon", "settings", "connection")
}

func TestI8OnlyOurLabelsChange(t *testing.T) {
	hold(t, "proper build", "labels", "labels", "jcasc", "recreate", "fault", "offline")
}

func long() bool { return os.Getenv("PITCREW_LONG") != "" }
