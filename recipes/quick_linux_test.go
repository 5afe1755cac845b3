// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// measuring is set for the run of a test that a benchmark makes.
const measuring = "RECIPES_TEST_MEASURING"

// BenchmarkOnACleanMachine runs generic-linux, whole, on a machine that has nothing to clean and nothing to set up. Beside it is
// a shell that starts a program that does nothing a hundred times, measured by turns. The figures are medians.
func BenchmarkOnACleanMachine(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := exec.CommandContext(b.Context(), self, "-test.run=^TestNothingToDo$", "-test.v")
	c.Env = append(os.Environ(), measuring+"=1")
	out, err := c.CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	b.ReportMetric(0, "ns/op")
	found := regexp.MustCompile(`measured ([0-9.]+) (\S+)`).FindAllSubmatch(out, -1)
	if len(found) == 0 {
		b.Fatalf("nothing was measured\n%s", out)
	}
	for _, m := range found {
		value, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(value, string(m[2]))
	}
}

func TestNothingToDo(t *testing.T) {
	if os.Getenv(measuring) == "" && os.Getenv(inside) == "" {
		t.Skip("run by BenchmarkOnACleanMachine")
	}
	inSandbox(t, func(s sandbox) {
		program := s.program(s.recipe("generic-linux", "present: [git, curl]", "present: [dash, util-linux]"))
		if r := s.run(program, cleanup); r.Outcome != recipe.Reconnect { // for the new limits
			s.Fatalf("outcome %s: %s", r.Outcome, r.Reason)
		}
		turns := map[string][]float64{}
		measure := func(what string, f func()) {
			began, used := time.Now(), children(s.T)
			f()
			turns["ms/"+what] = append(turns["ms/"+what], float64(time.Since(began).Microseconds())/1000)
			turns["cpu-ms/"+what] = append(turns["cpu-ms/"+what], float64((children(s.T)-used).Microseconds())/1000)
		}
		for range 7 {
			measure("cleanup", func() {
				if r := s.run(program, cleanup); r.Outcome != recipe.Cleaned {
					s.Fatalf("outcome %s: %s", r.Outcome, r.Reason)
				}
			})
			measure("100-starts", func() { s.sh("n=0; while [ $n -lt 100 ]; do /bin/true; n=$((n+1)); done") })
		}
		for what, all := range turns {
			slices.Sort(all)
			fmt.Printf("measured %.1f %s\n", all[len(all)/2], what)
		}
	})
}

// children is the processor time of all that this process has started and waited for.
func children(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	check(t, unix.Getrusage(unix.RUSAGE_CHILDREN, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
