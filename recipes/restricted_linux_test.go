// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// TestRestricted has an account without rights that serves two agents, of which one is cleaned, on a machine of others.
func TestRestricted(t *testing.T) {
	need(t, "java", "openjdk-17-jdk-headless")
	inSandbox(t, func(s sandbox) {
		const ci = 4444
		s.sh(`echo ci:x:4444:4444::/home/ci:/bin/sh >>/etc/passwd; echo ci:x:4444: >>/etc/group
			for agent in a1 a10; do
				mkdir -p /home/ci/$agent/workspace/cleanup /home/ci/$agent/workspace/app/deep /home/ci/$agent/tmp/x /home/ci/$agent/cache
				echo x | tee /home/ci/$agent/agent.jar /home/ci/$agent/workspace/app/deep/file >/home/ci/$agent/tmp/file
			done
			echo x >/home/ci/.profile; echo x >/tmp/of-the-account; echo x >/home/stranger/file
			chown -R 4444:4444 /home/ci /tmp/of-the-account; chmod 000 /home/ci/a1/workspace/app/deep; chmod 700 /home/stranger
			ln -s /home/ci/a10 /home/ci/a1/workspace/app/link
			cd /home/ci; ` + twoOf("a10/cache/older", "a10/cache/younger") + twoOf("a1/cache/older", "a1/cache/younger"))
		who := as{uid: ci, workspace: "/home/ci/a1/workspace/cleanup", tmp: "/home/ci/a1/tmp"}
		ofOther := append([]string{"NODE_NAME=a10"}, earlier[1:]...)
		processes := map[string]int{
			"of a build":                s.leave(ci, earlier, "/bin/sleep", "1000"),
			"from an owned path":        s.leave(ci, nil, "/bin/sh", "-c", "cd /home/ci/a1/workspace/app; exec sleep 1000"),
			"guard: of the other agent": s.leave(ci, ofOther, "/bin/sleep", "1000"),
			"guard: of a person":        s.leave(ci, nil, "/bin/sleep", "1000"),
			"guard: of somebody else":   s.leave(stranger, nil, "/bin/sh", "-c", "sleep 1000; :", "/home/ci/a1/workspace"),
		}
		others := func() string {
			return s.sh(`find /home/ci/a10 /home/ci/.profile /home/ci/a1/agent.jar /home/stranger /tmp/of-the-account -printf '%p %M %U %s %T@\n'`)
		}
		before := others()
		r := s.recipe("restricted", "size: 5GB", "size: 1MB")

		report := s.run(s.program(r), who)
		if report.Outcome != recipe.Cleaned {
			s.Errorf("outcome %s: %s", report.Outcome, report.Reason)
		}
		s.found(report, map[string][]string{"processes": sorted(
			"process "+strconv.Itoa(processes["of a build"]), "process "+strconv.Itoa(processes["from an owned path"]),
		)})
		if diff := cmp.Diff([]string{"guard: of a person", "guard: of somebody else", "guard: of the other agent"}, alive(processes)); diff != "" {
			s.Errorf("processes alive (-want +got):\n%s", diff)
		}
		s.gone("/home/ci/a1/workspace/app", "/home/ci/a1/tmp/x", "/home/ci/a1/tmp/file", "/home/ci/a1/cache/older")
		s.there("/home/ci/a1/workspace/cleanup", "/home/ci/a1/tmp", "/home/ci/a1/cache/younger")
		if diff := cmp.Diff(before, others()); diff != "" {
			s.Errorf("what is not this agent's changed (-before +after):\n%s", diff)
		}
		s.idle(r, who)

		// What only root can remove is named, and the agent is not clean.
		s.sh("mkdir -p /home/ci/a1/workspace/app/of-root; echo x >/home/ci/a1/workspace/app/of-root/file")
		if failed := s.steps(r, who); failed.Outcome != recipe.Failed || !strings.Contains(failed.Reason, "workspaces") {
			s.Errorf("with a file of root: %s: %s", failed.Outcome, failed.Reason)
		}
		s.there("/home/ci/a1/workspace/app/of-root/file")

		// An agent that is root by mistake is not for this recipe.
		for _, step := range r.Steps {
			if step.Name != "rights" {
				continue
			}
			for uid, want := range map[uint32]int{0: 1, ci: 0} {
				c := exec.CommandContext(s.Context(), "/bin/sh", "-c", string(step.Script))
				c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
				if _ = c.Run(); c.ProcessState.ExitCode() != want {
					s.Errorf("rights of user %d: exit code %d, want %d", uid, c.ProcessState.ExitCode(), want)
				}
			}
		}
	})
}
