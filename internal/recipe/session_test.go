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

// TestTheEndOfASessionComesByTheClock has each look at the processes take ten seconds, as on a machine with many of them: what does
// not heed the polite end is killed by the second look, not after so many looks.
func TestTheEndOfASessionComesByTheClock(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			script := processPart + sessionPart + `
kill() { echo "$*"; }
nap() { :; }
boot_age() { up=$((${up:-0} + 10)); }
members() { [ "$e_round" -ge "$last" ] || printf '8 9'; }
last=2
end_session 7 25
echo "ended $?"
last=1000
end_session 7 0 >/dev/null
echo "ended $?, left $victims"
`
			cmd := exec.CommandContext(t.Context(), m.shell, "-c", script)
			cmd.Env = []string{"PATH=" + m.path}
			out, err := cmd.CombinedOutput()
			want := "-TERM -7\n-CONT -7\n-TERM 8 9\n-CONT 8 9\n-KILL -7\n-KILL 8 9\nended 0\nended 1, left 8 9\n"
			if err != nil || string(out) != want {
				t.Errorf("%v, %q; want %q", err, out, want)
			}
		})
	}
}
