// SPDX-License-Identifier: Apache-2.0

package endtoend

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// crampedAgent is an agent in a mount namespace of its own where a directory, which is made, has room for next to nothing.
func (s *scene) crampedAgent(tail, labels string, dir func(testbed.NodeSpec) string) *testbed.Agent {
	s.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			s.Fatal("only root can mount")
		}
		s.Skip("only root can mount")
	}
	n := s.node(tail, labels)
	small := dir(n)
	n.Java = filepath.Join(s.TempDir(), "java")
	script := fmt.Sprintf("#!/bin/sh\nexec unshare -m sh -c 'mount -t tmpfs -o size=16k small \"$0\" && exec java \"$@\"' %s \"$@\"\n", small)
	s.must(os.MkdirAll(small, 0o755))
	s.must(os.WriteFile(n.Java, []byte(script), 0o700))
	return s.controller.Agent(s.ctx, s, n)
}

// TestALoanForWhichThereIsNoRoomLeavesNothing has no room for the agent program to arrive, and none for the loan's own files.
func TestALoanForWhichThereIsNoRoomLeavesNothing(t *testing.T) {
	t.Parallel()
	s := lends(t)
	small := s.file("small")
	s.more = strings.Replace(s.more, "dir: "+s.dir+",", "dir: "+small+",", 1)
	atOnce := s.crampedAgent("-workspace", "CLEANABLE", func(n testbed.NodeSpec) string {
		return filepath.Join(n.RemoteFS, "workspace", s.name+"-loan-01")
	})
	inSetUp := s.crampedAgent("-loan", "CLEANABLE", func(testbed.NodeSpec) string { return small })
	s.serve()
	for a, why := range map[*testbed.Agent]string{atOnce: "before its program said a word", inSetUp: "No space left on device"} {
		s.awaitLabels(a, "CLEANABLE CLEAN")
		before := s.cleanups(a)
		l := s.awaitLoan(s.ask("--borrower", "staging", "--agent", a.Name), "failed")
		if told := s.told(a, "loan.failed", 1)[0].Reason; !l.Attached.IsZero() || !strings.Contains(told, why) {
			t.Errorf("it is %+v, told is %q, want %q", l, told, why)
		}
		s.awaitLabels(a, "CLEANABLE CLEAN")
		if n := s.cleanups(a) - before; n != 1 {
			t.Errorf("%s was cleaned %d times since", a.Name, n)
		}
		if got := s.nodeAt(l); got != 404 {
			t.Errorf("its node at the borrower answers %d", got)
		}
		s.clear(l)
	}
}
