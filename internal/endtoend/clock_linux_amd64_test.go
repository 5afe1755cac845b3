// SPDX-License-Identifier: Apache-2.0

package endtoend

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clock is one that programs go by, with all that they start.
type clock struct {
	s             *scene
	program, file string
	ahead         time.Duration // of the machine's
}

// clock builds what it takes to run programs by a clock that the machine's other programs have nothing of.
func (s *scene) clock() *clock {
	s.Helper()
	c := &clock{s: s, program: s.file("clock"), file: s.file("ahead")}
	out, err := exec.CommandContext(s.ctx, "go", "build", "-o", c.program, "./testdata/clock").CombinedOutput()
	if err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	c.set(0)
	return c
}

// set sets it forth.
func (c *clock) set(by time.Duration) {
	c.s.Helper()
	c.ahead += by
	file, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE, 0o600)
	c.s.must(err)
	defer file.Close()
	_, err = file.Write(binary.NativeEndian.AppendUint64(nil, uint64(c.ahead))) // at once: it is read all the time
	c.s.must(err)
}

// jump is how far clocks are set: more than any loan of the test lasts.
const jump = time.Hour

// settings are ways to set a clock. One of the daemon that is set forth may end a loan before its time, none lets one last.
var settings = []struct {
	name  string
	goes  func(*scene, *clock)         // has somebody go by it
	shows func(*mortals) time.Duration // how far ahead somebody is
	jump  time.Duration
	ends  bool
}{
	{"the daemon's forth", daemonGoesBy, daemonIsAhead, jump, true},
	{"the daemon's back", daemonGoesBy, daemonIsAhead, -jump, false},
	{"the agent's forth", agentGoesBy, agentIsAhead, jump, false},
	{"the agent's back", agentGoesBy, agentIsAhead, -jump, false},
	{"the rehearsal's forth", nil, nil, jump, false},
	{"the rehearsal's back", nil, nil, -jump, false},
}

func daemonGoesBy(s *scene, c *clock) { s.under = []string{c.program, c.file} }

func daemonIsAhead(m *mortals) time.Duration { return time.Until(m.life(m.agent).Decided) }

func agentGoesBy(s *scene, c *clock) {
	s.java = s.file("java")
	s.must(os.WriteFile(s.java, fmt.Appendf(nil, "#!/bin/sh\nexec %s %s java \"$@\"\n", c.program, c.file), 0o700))
}

// agentIsAhead compares what a cleanup says with what the kernel does.
func agentIsAhead(m *mortals) time.Duration {
	text, err := os.ReadFile(m.file("time"))
	m.must(err)
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	m.must(err)
	info, err := os.Stat(m.file("time"))
	m.must(err)
	return time.Unix(seconds, 0).Sub(info.ModTime())
}

// TestAClockThatIsSetAtAnyStepOfALoan sets the clock of the daemon, or that of the agent's machine, forth or back, each time further, as
// [TestAKillAtEveryStepOfALoan] kills.
func TestAClockThatIsSetAtAnyStepOfALoan(t *testing.T) {
	for i, c := range settings {
		if c.goes == nil {
			continue // there is no rehearsal
		}
		t.Run(c.name, func(t *testing.T) {
			m := &mortals{scene: mortal(t)}
			m.lends()
			clock := m.clock()
			c.goes(m.scene, clock)
			m.dies(victim{name: c.name, kill: func(*mortals) { clock.set(c.jump) }, spares: !c.ends}, i, steps, 4)
			if got := c.shows(m); (got-clock.ahead).Abs() > jump+patience || clock.ahead.Abs() < 2*jump { // one may come after all that shows it
				t.Errorf("it is %s ahead; want %s", got, clock.ahead)
			}
		})
	}
}

// TestAClockThatIsSetAtAnyPartOfARehearsal does the same to that of a rehearsal, whose own clock is one more. Everything is returned.
func TestAClockThatIsSetAtAnyPartOfARehearsal(t *testing.T) {
	for i, c := range settings {
		t.Run(c.name, func(t *testing.T) {
			s := mortal(t)
			s.lends()
			clock := s.clock()
			if c.goes != nil {
				c.goes(s, clock)
			}
			r := s.rehearser(0o700)
			for j, part := range parts {
				if os.Getenv("PITCREW_LONG") == "" && (2*i+j)%len(parts) != 0 {
					continue
				}
				run := r.command(wipes, furnish)
				if c.goes == nil {
					run.Args = append([]string{clock.program, clock.file}, run.Args...)
					run.Path = clock.program
				}
				said := r.until(run, part)
				clock.set(c.jump)
				_ = run.Wait() // the code is looked at
				code := run.ProcessState.ExitCode()
				t.Logf("at %q: it ended with %d", part, code)
				if code != 0 && (code != 1 || !c.ends) {
					t.Errorf("at %q: it ended with %d:\n%s", part, code, said)
				}
				r.leavesNothing()
			}
		})
	}
}
