// SPDX-License-Identifier: Apache-2.0

//go:build linux

package state

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheStateOfThisMachine runs the program for real, before and after things have changed.
func TestTheStateOfThisMachine(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"dash", "bash", "busybox"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(shell)
			if err != nil && os.Getenv("CI") != "" {
				t.Fatalf("%s is missing; install the Debian package %s", shell, shell)
			}
			if err != nil {
				t.Skipf("%s is missing; CI runs this test", shell)
			}
			command := []string{path}
			if shell == "busybox" {
				command = append(command, "sh")
			}
			dir := t.TempDir()
			program := filepath.Join(t.TempDir(), "state.sh")
			write(t, program, string(Script()))
			odd := "line\nend%\\ -"
			write(t, filepath.Join(dir, odd), "one")
			write(t, filepath.Join(dir, "gone"), "x")
			look := func() State {
				c := exec.CommandContext(t.Context(), command[0], append(command[1:], program)...)
				c.Env = append(os.Environ(), "STATE_NONCE=abc123", "STATE_PATHS="+dir+"\n/nonexistent")
				c.Stderr = os.Stderr
				log, err := c.Output()
				if err != nil {
					t.Fatal(err)
				}
				s, err := Parse(log, "abc123")
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			before := look()
			write(t, filepath.Join(dir, odd), "two")
			if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			after := look()
			got := map[string]Change{}
			all := ""
			for _, d := range Compare(before, after, Ignore{}) {
				got[d.Key] = d.Change
				all += d.String() + "\n"
			}
			for key, want := range map[string]Change{
				filepath.Join(dir, odd): Changed, filepath.Join(dir, "gone"): Removed, filepath.Join(dir, "link"): Added,
				"tcp " + listener.Addr().String(): Added,
			} {
				if got[key] != want {
					t.Errorf("%q is %q, want %s; all:\n%s", key, got[key], want, all)
				}
			}
			kindsSeen := map[Kind]int{}
			for _, i := range after.Items {
				kindsSeen[i.Kind]++
			}
			for _, k := range []Kind{Mount, User, Group, File, Fact, Port} {
				if kindsSeen[k] == 0 {
					t.Errorf("no %s was seen: %v", k, kindsSeen)
				}
			}
			if !strings.Contains(all, "to /etc/passwd") {
				t.Errorf("the target of the link is not told:\n%s", all)
			}
		})
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
