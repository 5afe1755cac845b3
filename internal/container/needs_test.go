// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"os"
	"os/exec"
	"testing"
)

// needs has a test skipped, or failed in CI, where something is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "true" {
			t.Fatalf("%v (scripts/test-deps.sh installs it)", err)
		} else if err != nil {
			t.Skipf("%v (scripts/test-deps.sh installs it)", err)
		}
	}
}
