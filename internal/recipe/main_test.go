// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// together is how many tests run at a time: most of them wait for a limit or a grace to pass, not for a processor.
const together = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(confined(m))
}

// confined runs the tests with a directory of their own for temporary files. Whatever they start has it in its
// environment, so that in the end nothing can be left behind unseen: no directory, no process.
func confined(m *testing.M) int {
	dir, err := os.MkdirTemp("", "recipe-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Setenv("TMPDIR", dir)
	}
	if chosen := flag.Lookup("test.parallel"); err == nil && chosen.Value.String() == chosen.DefValue {
		err = chosen.Value.Set(together)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		return code // those who try the inputs are killed in the end
	}
	for _, left := range leftIn(dir) {
		fmt.Fprintln(os.Stderr, "left behind:", left)
		code = 1
	}
	return code
}

// leftIn returns what there is in dir, and the processes that have it in their environment.
func leftIn(dir string) []string {
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	for pid, command := range confinedTo(dir) {
		left = append(left, fmt.Sprintf("process %d: %s", pid, command))
	}
	return left
}

// confinedTo returns the living processes, other than this one, whose temporary files belong in dir: their commands by
// process number.
func confinedTo(dir string) map[int]string {
	found := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		process := filepath.Dir(file)
		pid, _ := strconv.Atoi(filepath.Base(process))
		environment, _ := os.ReadFile(file)
		if pid != os.Getpid() && bytes.Contains(environment, []byte("TMPDIR="+dir)) {
			command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
			found[pid] = string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))
		}
	}
	return found
}
