// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"os"
	"testing"
)

// TestMain gives the tests a temporary directory of their own and wants it to be empty at the end:
// whatever way a demo ended, it has left no file.
func TestMain(m *testing.M) { os.Exit(runInOwnTemp(m)) }

func runInOwnTemp(m *testing.M) int {
	own, err := os.MkdirTemp("", "demo-test-")
	if err == nil {
		err = os.Setenv("TMPDIR", own)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	left, err := os.ReadDir(own)
	if err != nil || len(left) > 0 {
		fmt.Fprintln(os.Stderr, "left in the temporary directory:", left, err)
		code = 1
	}
	if err := os.RemoveAll(own); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
