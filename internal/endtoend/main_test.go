// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// Set once by TestMain.
var (
	controller *testbed.Controller
	borrower   *testbed.Controller // that agents are lent to
	program    string              // pitcrew, as it is built for people
	absent     error               // why there is no controller to test with
)

// builtProgram names the program to a run of these tests within another.
const builtProgram = "PITCREW_TEST_PROGRAM"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "pitcrew-endtoend-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if program = os.Getenv(builtProgram); program == "" {
		program = filepath.Join(dir, "pitcrew")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/pitcrew-ci/pitcrew/cmd/pitcrew")
		if out, err := build.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("build pitcrew: %w\n%s", err, out)
		}
	}
	controller, err = testbed.Open(ctx, "pce2e")
	if errors.Is(err, testbed.ErrNoJDK) && os.Getenv("CI") == "" {
		absent = err
		return m.Run(), nil
	}
	if err != nil {
		return 1, err
	}
	if borrower, err = testbed.OpenSecond(ctx, controller, "pce2b"); err != nil {
		return 1, errors.Join(err, controller.Close(ctx))
	}
	code = m.Run()
	return code, errors.Join(borrower.Close(ctx), controller.Close(ctx))
}
