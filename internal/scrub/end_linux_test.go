// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// freezer writes to a file system that it has frozen, with the environment of its arguments, and tells the number of
// the process that hangs by that. It thaws it and leaves nothing behind when its input ends: however this test ends.
const freezer = `
cd "$DIR"
truncate -s 16M img
mkfs.ext4 -q -m 0 img
mkdir m
device=$(losetup -f --show img)
mount "$device" m
fsfreeze -f m
env -i "$@" sh -c 'echo >going; echo >m/f' &
writer=$!
until [ -s going ]; do [ -d /proc/$writer ]; done
while read -r line; do case $line in State:*D*) break;; State:*) exec </proc/$writer/status;; esac; done </proc/$writer/status
echo $writer
cat >/dev/null
fsfreeze -u m
kill -9 $writer 2>/dev/null || true
wait
umount m
losetup -d "$device"
`

// stuck starts a process that not even KILL ends.
func stuck(t *testing.T, env []string) (pid int) {
	t.Helper()
	asRoot(t)
	dir := open(t)
	c := exec.Command("unshare", append([]string{"-m", "sh", "-euc", freezer, "sh"}, env...)...)
	c.Env = append(os.Environ(), "DIR="+dir)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), c.Wait()); err != nil {
			t.Errorf("thaw: %v", err)
		}
		if left := attached(t, dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("nothing is stuck: %q, %v", line, err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestWhatCannotDieIsNamed(t *testing.T) {
	t.Parallel()
	const agent = "scrub-stuck-test"
	pid := stuck(t, build(agent))
	willing := start(t, leftover{env: build(agent)})
	s := spec.Spec{Goal: spec.Goal{Processes: &spec.Processes{Cookies: true, Grace: 1}}}
	began := time.Now()
	r := reach(t, s, scrub.Here{Agent: agent, Controller: "http://ci.example"}, scrub.Do)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	if r.State != spec.Unmet || len(r.Problems) != 1 || r.Problems[0].ID != strconv.Itoa(pid) {
		t.Fatalf("%+v; want a problem with process %d alone", r, pid)
	}
	if why := r.Problems[0].Why; !strings.Contains(why, "sh of user 0 survived KILL in state D, waiting in ") {
		t.Errorf("%s; want its state and where it waits", why)
	}
	if lives(willing) {
		t.Error("the process that could end has not been ended")
	}
}

func TestAProcessOfAnotherUserNeedsRoot(t *testing.T) {
	t.Parallel()
	asRoot(t)
	c := start(t, leftover{uid: uidOf(t, "irc")})
	s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"irc"}}, Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
	r := reachAs(t, uidOf(t, "games"), s, scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || len(r.Problems) != 1 || r.Problems[0].ID != strconv.Itoa(c.Process.Pid) || !strings.Contains(r.Problems[0].Why, "this needs root") {
		t.Errorf("%+v; want it to say that process %d needs root", r, c.Process.Pid)
	}
	if !lives(c) {
		t.Error("guard: the process has ended")
	}
}

// TestANumberThatIsUsedAgainIsAnothersProcess: what had to end has ended by itself since it was looked at, and somebody else has its number.
func TestANumberThatIsUsedAgainIsAnothersProcess(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	const agent = "scrub-number-test"
	step, err := scrub.New(spec.Spec{Goal: spec.Goal{Processes: &spec.Processes{Cookies: true, Grace: 1}}}, scrub.Here{Agent: agent, Controller: "http://ci.example"})
	if err != nil {
		t.Fatal(err)
	}
	began := func(c *exec.Cmd) string { // in hundredths of a second
		text, err := os.ReadFile("/proc/" + strconv.Itoa(c.Process.Pid) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(text[strings.LastIndex(string(text), ")"):]))[20]
	}
	first := start(t, leftover{env: build(agent)})
	at := began(first)
	found, err := step.Look(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatalf("found %+v, %v; want the leftover", found, err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	var other *exec.Cmd
	for other == nil || other.Process.Pid != first.Process.Pid || began(other) == at { // threads take numbers as well
		if other != nil {
			_ = other.Process.Kill()
			_ = other.Wait()
		}
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(first.Process.Pid-1)), 0); err != nil {
			t.Fatal(err)
		}
		other = start(t, leftover{})
	}
	if err := errors.Join(step.Mend(t.Context(), found)...); err != nil || !lives(other) {
		t.Errorf("%v, the other lives: %t; want it to be left alone", err, lives(other))
	}
}
