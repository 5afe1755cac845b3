// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestProcessesAreFoundByTheirEnvironment(t *testing.T) {
	t.Parallel()
	mark := "FOUND_BY=" + rand.Text()
	both := survivor(t, "A=1", mark, "ALSO=x y")
	for _, env := range [][]string{{mark, "ALSO=x"}, {"A=\n" + mark, "ALSO=x y"}, {mark + "more", "ALSO=x y"}} {
		survivor(t, env...)
	}
	for _, shell := range append(shells(), "an old grep") {
		m := newMachine(t, strings.Replace(shell, "an old grep", "dash", 1))
		if shell == "an old grep" {
			bin := t.TempDir()
			text := "#!/bin/sh\ncase $1 in *z*) exit 2 ;; esac\nexec " + need(t, "grep", "grep") + ` "$@"` + "\n"
			if err := errors.Join(os.WriteFile(filepath.Join(bin, "grep"), []byte(text), 0o755)); err != nil {
				t.Fatal(err)
			}
			m.path = bin + ":" + m.path
		}
		cmd := exec.CommandContext(t.Context(), m.shell, "-c", lineagePart+"bearers \"$MARK\" 'ALSO=x y' | while read -r pid; do tr '\\0' '\\n' <\"/proc/$pid/environ\"; done")
		cmd.Env = []string{"PATH=" + m.path, "MARK=" + mark}
		out, err := cmd.Output()
		if err != nil || strings.Count(string(out), mark+"\n") != 1 && shell != "an old grep" || !strings.Contains(string(out), "A=1\n") || strings.Contains(string(out), "more") || !both() {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}
