// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// truth is what is known of an agent by whoever did everything that happened to it.
type truth struct {
	cleanable, clean bool // labels
	online           bool
	ledger           bool // claimed once, and not withdrawn
	attempt          int  // the claim that stands, 0 if none does
	last             int
	proven           bool // granted, and nothing has happened since that could have made it unclean
	busy             float64
}

// TestI1NothingStartsOnAnAgentThatIsNotClean has chance do what people, builds, the daemon and broken connections do, and asks after
// each step, for each agent, whether a real build may start. It may where it is proved that nothing happened since the agent was
// cleaned, and where the gate has no business; nowhere else.
func TestI1NothingStartsOnAnAgentThatIsNotClean(t *testing.T) {
	both(t, func(j *controller) {
		rounds, seed := 6, uint64(1)
		if os.Getenv("PITCREW_LONG") == "1" {
			rounds, seed = 300, rand.Uint64()
		}
		j.Logf("seed %d", seed)
		taken := 0
		for round := range rounds {
			random := rand.New(rand.NewPCG(seed, uint64(round)))
			j.do(command{"do": "boot"})
			agents := map[string]*truth{}
			names := []string{"a", "b", "c"}
			var log []string
			for _, name := range names {
				agents[name] = &truth{cleanable: name != "c", online: true}
				j.on(name, "node", "labels", map[bool]string{true: "cleanable", false: "clean"}[name != "c"], "executors", 1+random.IntN(2))
				agents[name].clean = name == "c"
			}
			real := j.item("job", "asked for")
			for range 60 {
				name := names[random.IntN(len(names))]
				log = append(log, name+" "+happen(j, random, name, agents[name]))
				for _, name := range names {
					a := agents[name]
					managed := a.cleanable || a.ledger
					want := !managed || a.proven && a.clean && a.online && a.busy == 0
					got := j.take(name, real) == ""
					if got != want {
						j.Fatalf("round %d: %s may start: %v, want %v; %+v\n%s", round, name, got, want, *a, strings.Join(log, "\n"))
					}
					if got && managed {
						taken++
					}
				}
			}
		}
		if taken < rounds {
			j.Errorf("a clean agent was asked for only %d times", taken)
		}
	})
}

// happen does one thing to an agent, keeps the truth about it, and says what it was.
func happen(j *controller, random *rand.Rand, name string, a *truth) string {
	j.Helper()
	labels := func() string {
		var all []string
		for _, l := range []struct {
			has  bool
			name string
		}{{a.cleanable, "cleanable"}, {a.clean, "clean"}} {
			if l.has {
				all = append(all, l.name)
			}
		}
		return strings.Join(append(all, "el7"), " ")
	}
	switch random.IntN(16) {
	case 0, 1, 2:
		a.last++
		result := j.ask("claim", name, "attempt", a.last, "job", "slot")
		if want := map[bool]string{true: "ok"}[(a.cleanable || a.ledger) && a.online && a.busy == 0]; want == "ok" != (result == "ok") {
			j.Fatalf("claim %d of %s: %s; %+v", a.last, name, result, *a)
		}
		if result == "ok" {
			a.ledger, a.attempt, a.proven, a.clean = true, a.last, false, false
		}
		return "claim " + result
	case 3, 4, 5, 6:
		attempt := a.attempt
		if random.IntN(4) == 0 {
			attempt = 1 + random.IntN(a.last+1)
		}
		if attempt == 0 {
			return "nothing"
		}
		result := j.ask("grant", name, "attempt", attempt)
		if result == "ok" {
			if attempt != a.attempt || a.busy != 0 || !a.online || !a.cleanable && !a.proven {
				j.Fatalf("grant %d of %s: ok; %+v", attempt, name, *a)
			}
			a.proven, a.clean = true, true
		}
		return fmt.Sprint("grant ", attempt, " ", result)
	case 7, 8, 9: // a real build, wherever the gate lets it
		if a.busy != 0 {
			j.on(name, "end", "item", a.busy)
			a.busy = 0
			return "build ends"
		}
		item := j.item("job", "build")
		if j.take(name, item) != "" {
			return "no build"
		}
		j.on(name, "start", "item", item)
		if a.cleanable || a.ledger {
			a.ledger, a.proven, a.attempt, a.clean = true, false, 0, false
		}
		a.busy = item
		return "build"
	case 10: // a flyweight that nobody asked about
		if a.busy != 0 || !a.online {
			return "nothing"
		}
		item := j.item("flyweight", "fly", "label", name)
		j.on(name, "start", "item", item, "flyweight", true)
		j.on(name, "end", "item", item)
		if a.cleanable || a.ledger {
			a.ledger, a.proven, a.attempt, a.clean = true, false, 0, false
		}
		return "flyweight"
	case 11: // somebody edits the labels
		a.cleanable, a.clean = random.IntN(4) > 0, random.IntN(2) == 0
		if random.IntN(2) == 0 {
			j.on(name, "relabel", "labels", labels())
			return "labels in place: " + labels()
		}
		if a.busy != 0 {
			j.on(name, "relabel", "labels", labels())
			return "labels of a busy agent: " + labels()
		}
		count := 1 + random.IntN(2)
		j.on(name, "node", "labels", labels(), "executors", count, "offline", !a.online, "fresh", true)
		a.proven, a.attempt = false, 0
		if a.online {
			return fmt.Sprint("made anew with ", count, " executors: ", labels())
		}
		return "made anew: " + labels()
	case 12:
		if a.busy != 0 {
			return "nothing"
		}
		if a.online {
			j.on(name, "disconnect")
		} else {
			j.on(name, "connect")
		}
		a.online, a.proven, a.attempt = !a.online, false, 0
		return fmt.Sprint("online: ", a.online)
	case 13:
		verb := []string{"revoke", "hold"}[random.IntN(2)]
		if result := j.ask(verb, name); result != "ok" {
			return verb + " " + result
		}
		a.ledger, a.proven, a.attempt, a.clean = true, false, 0, false
		return verb
	case 14:
		if !a.ledger && !a.cleanable {
			return "nothing"
		}
		j.must("withdraw", name)
		a.ledger, a.proven, a.attempt, a.clean = false, false, 0, false
		return "withdraw"
	default:
		if random.IntN(8) > 0 {
			return "nothing" // it has to be compiled
		}
		j.do(command{"do": "register"})
		return "registered anew"
	}
}
