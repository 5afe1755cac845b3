// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

// The accounts of the tests exist in a mount namespace of their own only, in copies of the machine's files.
// Each test has a loan's account, pitcrewloan, with a user id of its own: what one ends is not the other's.
const agentUID = 64201 // pitcrewagent, that lender's agents run as

var loanUIDs atomic.Int64

// copyEtc copies /etc. Whoever adds a user to this machine meanwhile replaces its files, and has others there for an instant: then it is
// copied again. A lock that was there means nothing in the copy.
func copyEtc(t *testing.T) (dir string) {
	t.Helper()
	var out []byte
	var err error
	for range 50 {
		dir = t.TempDir()
		if out, err = exec.CommandContext(t.Context(), "cp", "-a", "/etc/.", dir).CombinedOutput(); err == nil {
			break
		}
	}
	locks, _ := filepath.Glob(dir + "/[gps]*.lock")
	for _, lock := range locks {
		err = errors.Join(err, os.Remove(lock))
	}
	if err != nil {
		t.Fatalf("copy /etc: %v\n%s", err, out)
	}
	return dir
}

// withAccounts has p run its program as that user id on a machine that has the two accounts, and these sudoers. It returns
// a directory that the loan's account may write to, and everybody may look into.
func withAccounts(t *testing.T, p *place, uid int, sudoers string) (srv string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs root")
		}
		t.Skip("this test needs root; CI runs it")
	}
	p.loanUID = agentUID + int(loanUIDs.Add(1))
	// All of /etc, and not files in it: whoever adds a user to this machine meanwhile replaces those, and what is mounted on a file
	// that is replaced is gone.
	etc := copyEtc(t)
	srv = t.TempDir()
	p.loanHome = filepath.Join(srv, "home")
	for name, more := range map[string]string{
		"passwd":  fmt.Sprintf("pitcrewagent:*:%d:%[1]d::%s:/bin/sh\npitcrewloan:*:%d:%[3]d::%s:/bin/sh\n", agentUID, p.home, p.loanUID, p.loanHome),
		"group":   fmt.Sprintf("pitcrewagent:*:%d:\npitcrewloan:x:%d:\n", agentUID, p.loanUID),
		"sudoers": "",
	} {
		text, err := os.ReadFile(filepath.Join("/etc", name))
		mode := os.FileMode(0o644)
		if name == "sudoers" {
			need(t, "sudo")
			text, mode = []byte("Defaults env_reset\nroot ALL=(ALL) ALL\n"+sudoers), 0o440
		}
		if err = errors.Join(err, os.WriteFile(filepath.Join(etc, name), append(text, more...), mode), os.Chmod(filepath.Join(etc, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Dir(p.shell)
	err := errors.Join(os.Chown(srv, p.loanUID, p.loanUID), os.Mkdir(p.loanHome, 0o700), os.Chown(p.loanHome, p.loanUID, p.loanUID))
	for _, dir := range []string{p.home, p.workspace} {
		err = errors.Join(err, os.Chown(dir, uid, uid), os.Chmod(dir, 0o700))
	}
	for _, dir := range []string{srv, bin} { // what leads there is for the test's own user alone
		err = errors.Join(err, os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755))
	}
	if p.java != "" {
		err = errors.Join(err, os.Chmod(filepath.Dir(p.java), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	const enter = `mount --make-rprivate / && mount --bind "$1" /etc || exit
uid=$2; shift 2; exec /usr/bin/setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"`
	p.under = []string{"unshare", "-m", "/bin/sh", "-c", enter, "enter", etc, fmt.Sprint(uid)}
	p.uid = uid
	return srv
}

// deniedToLoan runs a command as the loan's account, and fails if that succeeds.
func (p *place) deniedToLoan(t *testing.T, words ...string) {
	t.Helper()
	id := fmt.Sprint(p.loanUID)
	all := append([]string{"--reuid", id, "--regid", id, "--clear-groups"}, words...)
	if out, err := exec.CommandContext(t.Context(), "setpriv", all...).CombinedOutput(); err == nil {
		t.Errorf("the loan's account may %s: %.80q", words, out)
	}
}

func TestALoanInAnAccountOfItsOwnReadsNothingOfTheAgent(t *testing.T) {
	t.Parallel()
	c := borrower(t)
	jar := agentJar(t, c)
	byName := "pitcrewagent ALL=(pitcrewloan) NOPASSWD: ALL\n"
	for _, m := range []struct {
		shell, sudoers string
		uid            int
	}{
		{"dash", "", 0}, {"busybox", "", 0}, {"bash", byName, agentUID}, {"dash", "Defaults use_pty\n" + byName, agentUID},
	} {
		t.Run(fmt.Sprintf("%s as %d %t", m.shell, m.uid, strings.Contains(m.sudoers, "pty")), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, m.shell)
			srv := withAccounts(t, p, m.uid, m.sudoers)
			const keys = "ssh-ed25519 AAAAowner owner's\n"
			p.haveKeys(t, keys)
			l := order(t, c, jar)
			l.order.Dir, l.order.User, l.order.Isolation = filepath.Join(srv, "work"), "pitcrewloan", loanjob.Required
			l.hold(t, p, jar)
			l.online(t, c)
			asLoan(t, p, `cd "$1/.ssh" && echo "ssh-ed25519 AAAAother for ever" >>authorized_keys && cp authorized_keys authorized_keys2 && echo x`)
			l.hidesItsSecrets(t)
			s := l.console(t).Started
			if s == nil || !s.Isolated || s.User != "pitcrewloan" || s.FilesOpen {
				t.Errorf("started %+v", s)
			}
			if info, err := os.Stat(l.order.Dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("work directory: %v, %v", info, err)
			}
			java := 0
			for pid, line := range l.left(t) {
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
				if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
					continue // it has ended meanwhile
				}
				if err != nil || !strings.Contains(string(status), fmt.Sprintf("\nUid:\t%d\t%[1]d\t%[1]d\t", p.loanUID)) {
					t.Errorf("process %d (%s) is not the loan's account's: %v", pid, line, err)
				}
				java++
			}
			if java == 0 {
				t.Error("no process bears the mark")
			}
			holder := fmt.Sprint(l.cmd.Process.Pid)
			p.deniedToLoan(t, "cat", "/proc/"+holder+"/environ")
			p.deniedToLoan(t, "ls", "/proc/"+holder+"/fd/")
			p.deniedToLoan(t, "ls", p.home)
			p.deniedToLoan(t, "ls", p.workspace)
			p.deniedToLoan(t, "cat", filepath.Join(p.home, ".pitcrew-loans", l.order.Loan, "whose"))
			l.stop(t)
			l.wantEnd(t, p, loanjob.Stopped, 0)
			wantKeys(t, p, keys)
		})
	}
}

func TestIsolationIsAsAskedForOrThereIsNoLoan(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]struct {
		user, sudoers string
		isolation     loanjob.Isolation
		uid           int
		refusal       string // "" is none: then the loan runs as the agent's account
	}{
		"no such account":      {"nobody-of-that-name", "", loanjob.Required, 0, "there is no account nobody-of-that-name here"},
		"root":                 {"root", "", loanjob.Required, agentUID, "root is root"},
		"its own":              {"pitcrewagent", "", loanjob.Required, agentUID, "is the account of the agent itself"},
		"none given":           {"", "", loanjob.Required, agentUID, "no account is given"},
		"sudo refuses":         {"pitcrewloan", "", loanjob.Required, agentUID, "sudo does not let pitcrewagent"},
		"sudo for less":        {"pitcrewloan", "pitcrewagent ALL=(pitcrewloan) NOPASSWD: /bin/true\n", loanjob.Required, agentUID, "sudo does not let"},
		"preferred, refused":   {"pitcrewloan", "", loanjob.Preferred, agentUID, ""},
		"preferred, not given": {"", "", loanjob.Preferred, 0, ""},
		"not wanted":           {"pitcrewloan", "", loanjob.None, 0, ""},
	} {
		t.Run(strings.Map(plain, name), func(t *testing.T) {
			t.Parallel()
			l, p := pretend(t, "dash", connects)
			srv := withAccounts(t, p, m.uid, m.sudoers)
			if err := os.Chmod(srv, 0o777); err != nil {
				t.Fatal(err)
			}
			l.order.Dir, l.order.User, l.order.Isolation = filepath.Join(srv, "work"), m.user, m.isolation
			l.hold(t, p, jar)
			if m.refusal != "" {
				l.wantRefusal(t, p, m.refusal)
				return
			}
			l.connected(t)
			s := l.console(t).Started
			if s == nil || s.Isolated || !s.FilesOpen || (m.isolation == loanjob.Preferred) != strings.Contains(l.out.String(), "no separate account: ") {
				t.Errorf("started %+v", s)
			}
			l.stop(t)
			l.wantEnd(t, p, loanjob.Stopped, 0)
		})
	}
}

// What became root within the loan cannot be ended by an agent that is not: that is told, and the work directory
// of another user as well.
func TestWhatCannotBeEndedIsCounted(t *testing.T) {
	t.Parallel()
	l, p := pretend(t, "dash", `sudo -n sh -c 'trap "" TERM; umask 077; mkdir theirs; touch theirs/file; exec sleep 301' &
while [ ! -e theirs/file ] && [ ! -d theirs ]; do sleep 0.1; done
`+connects)
	srv := withAccounts(t, p, agentUID, "pitcrewagent ALL=(pitcrewloan) NOPASSWD: ALL\npitcrewloan ALL=(root) NOPASSWD: ALL\n")
	l.order.Dir, l.order.User, l.order.Isolation = filepath.Join(srv, "work"), "pitcrewloan", loanjob.Required
	l.hold(t, p, jar)
	l.connected(t)
	l.stop(t)
	exit, c := l.exit(t), l.console(t)
	if exit != 70 || c.Ended == nil || c.Ended.Left == 0 || !c.Ended.DirKept {
		t.Errorf("exit status %d, %+v", exit, c.Ended)
	}
	if !strings.Contains(l.out.String(), "stays: sleep state ") || !strings.Contains(l.out.String(), "user id 0") {
		t.Error("what stays is not named")
	}
	for pid, line := range withCommand("sleep 301 ") {
		if err := endProcess(pid); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// withCommand returns the processes whose command line is this, each word followed by a blank.
func withCommand(want string) map[int]string {
	found := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if line := strings.ReplaceAll(string(text), "\x00", " "); err == nil && line == want {
			var pid int
			if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err == nil {
				found[pid] = line
			}
		}
	}
	return found
}

func endProcess(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
