// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bufio"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A process may call itself what the rest of a line of /proc looks like, so that it seems to belong to nobody.
func TestAProcessCannotHideBehindItsName(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			leader := exec.CommandContext(t.Context(), "sh", "-c", `exec 3<&0; sh -c 'printf ") S 1 1 1\nx" >/proc/self/comm; echo $$; read -r _' <&3 & wait`)
			hold, err := leader.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			leader.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			out, err := leader.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := leader.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { hold.Close(); _ = leader.Wait() })
			hidden, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			script := processPart + sessionPart + "members " + strconv.Itoa(leader.Process.Pid) + "\n"
			cmd := exec.CommandContext(t.Context(), m.shell, "-c", script)
			cmd.Env = []string{"PATH=" + m.path}
			members, err := cmd.CombinedOutput()
			if err != nil || !slices.Contains(strings.Fields(string(members)), strings.TrimSpace(hidden)) {
				t.Errorf("members %q, %v; want %s among them", members, err, hidden)
			}
		})
	}
}
