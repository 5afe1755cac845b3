// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// processes is the text of all command lines and environments of this PID namespace.
func processes(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no processes: %v", err)
		}
		for _, file := range files {
			text, _ := os.ReadFile(file) // it may have ended
			all.Write(text)
		}
	}
	return all.String()
}
