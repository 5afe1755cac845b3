// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// earlier is the environment of an earlier build of agent a1.
var earlier = []string{"NODE_NAME=a1", "JENKINS_URL=https://jenkins.example/", "JOB_NAME=app", "BUILD_NUMBER=7", "BUILD_TAG=jenkins-app-7", "JENKINS_SERVER_COOKIE=theirs"}

// cleanup is a build of the agent that runs a recipe as root.
var cleanup = as{workspace: "/home/jenkins/workspace/cleanup"}

// planted is what builds left in a sandbox, beside what must survive.
type planted struct{ processes map[string]int }

// plant leaves what builds of every sort leave, and close to each of these something that is not theirs.
func (s sandbox) plant() planted {
	s.Helper()
	s.sh(`cd /home/jenkins
		mkdir -p workspace/app/deep/er workspace/app/mnt workspace/app@tmp workspace-of-others/mnt
		echo x >workspace/app/deep/er/file; chmod 000 workspace/app/deep; ln -s /home/stranger workspace/app/link
		chown -R 4242:4242 workspace workspace-of-others; echo root >workspace/app/of-root
		echo x >agent.jar; echo x >workspace-of-others/file; echo x >/home/stranger/file
		echo mine >workspace/cleanup/file
		mount -t tmpfs tmpfs workspace/app/mnt; echo x >workspace/app/mnt/file
		mount -t tmpfs tmpfs workspace-of-others/mnt
		mkdir /srv/disks
		for at in workspace/app /srv/disks; do truncate -s 1M $at/` + s.image + `; losetup -f $at/` + s.image + `; done
		for user in 4242 4343; do
			for dir in /tmp /var/tmp /dev/shm; do echo x >$dir/of-$user; chown $user $dir/of-$user; done
			setpriv --reuid $user --regid $user --clear-groups ipcmk --shmem 4096 --semaphore 1 >/dev/null
		done
		mkdir -m 700 /tmp/systemd-private-1 && chown 4242 /tmp/systemd-private-1
		mkdir -p /var/spool/cron/crontabs
		for user in jenkins stranger; do echo '@daily true' >/var/spool/cron/crontabs/$user; chown $user /var/spool/cron/crontabs/$user; done
		for log in app.log app.log.1 app.log.2; do echo x >/var/log/$log; done
		touch -d '30 days ago' /var/log/app.log /var/log/app.log.1`)
	return planted{map[string]int{
		"of the user":               s.leave(jenkins, nil, "/bin/sleep", "1000"),
		"of root, by a build":       s.leave(0, earlier, "/bin/sleep", "1000"),
		"guard: of somebody else":   s.leave(stranger, nil, "/bin/sleep", "1000"),
		"guard: of root, by a word": s.leave(0, nil, "/bin/sh", "-c", "sleep 1000; :", "/home/jenkins/workspace/lago"),
	}}
}

// twoOf is a script that makes two files of 700 kB, of which one is older by the clock of the file system.
func twoOf(older, younger string) string {
	const large = "dd if=/dev/zero bs=1k count=700 status=none of="
	return large + older + "; until [ -n \"$(find " + younger + " -newer " + older + " 2>/dev/null)\" ]; do " + large + younger + "; done\n"
}

// survived fails if anything of what was planted is left, or a guard is not.
func (s sandbox) survived(p planted) {
	s.Helper()
	if diff := cmp.Diff([]string{"guard: of root, by a word", "guard: of somebody else"}, alive(p.processes)); diff != "" {
		s.Errorf("processes alive (-want +got):\n%s", diff)
	}
	s.gone("/home/jenkins/workspace/app", "/home/jenkins/workspace/app@tmp", "/tmp/of-4242", "/var/tmp/of-4242", "/dev/shm/of-4242",
		"/var/spool/cron/crontabs/jenkins", "/var/log/app.log.1")
	s.there("/home/jenkins/workspace/cleanup/file", "/home/jenkins/agent.jar", "/home/jenkins/workspace-of-others/file", "/home/stranger/file",
		"/tmp/of-4343", "/var/tmp/of-4343", "/dev/shm/of-4343", "/tmp/systemd-private-1", "/var/spool/cron/crontabs/stranger",
		"/var/log/app.log", "/var/log/app.log.2")
	if got := s.sh("mountpoint -q /home/jenkins/workspace-of-others/mnt && awk 'NR > 1 { print $8 }' /proc/sysvipc/shm; awk 'NR > 1 { print $5 }' /proc/sysvipc/sem"); got != "4343\n4343" {
		s.Errorf("owners of IPC objects: %q; want those of the stranger alone", got)
	}
	files := map[string]bool{}
	for _, file := range attached(s.T, s.image) {
		files[file] = true
	}
	if diff := cmp.Diff(map[string]bool{"/srv/disks/" + s.image: true}, files); diff != "" {
		s.Errorf("loop devices (-want +got):\n%s", diff)
	}
}

func sorted(all ...string) []string {
	slices.Sort(all)
	return all
}

func TestGenericLinux(t *testing.T) {
	need(t, "java", "openjdk-17-jdk-headless")
	need(t, "sudo", "sudo")
	inSandbox(t, func(s sandbox) {
		p := s.plant()
		// Nothing can be made that was used long ago: here too much is there, and the oldest goes.
		s.sh(`mkdir /home/jenkins/.cache; cd /home/jenkins/.cache; rm -rf /var/cache/apt/archives/*.deb
			` + twoOf("older", "younger") + twoOf("/var/cache/apt/archives/older_1_all.deb", "/var/cache/apt/archives/younger_1_all.deb"))
		r := s.recipe("generic-linux", "present: [git, curl]", "present: [dash, util-linux]", "size: 10GB", "size: 1MB", "size: 2GB", "size: 1MB")

		// The agent is not root, as most are, and becomes it by sudo.
		s.sh(`echo 'jenkins ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/ci; chmod 440 /etc/sudoers.d/ci`)
		report := s.run(s.program(r), as{uid: jenkins, workspace: cleanup.workspace})
		if report.Outcome != recipe.Reconnect { // for the new limits
			s.Errorf("outcome %s: %s", report.Outcome, report.Reason)
		}
		s.survived(p)
		s.found(report, map[string][]string{
			"processes":                {"process " + strconv.Itoa(p.processes["of the user"])},
			"processes of other users": {"process " + strconv.Itoa(p.processes["of root, by a build"])},
			"mounts":                   {"mount /home/jenkins/workspace/app/mnt"},
		})
		s.gone("/home/jenkins/.cache/older", "/var/cache/apt/archives/older_1_all.deb")
		s.there("/home/jenkins/.cache/younger", "/var/cache/apt/archives/younger_1_all.deb")
		if got := s.sh("cat /etc/security/limits.d/90-pitcrew.conf /proc/sys/fs/inotify/max_user_watches"); got != "# Kept by pitcrew.\njenkins - nofile 64000\n524288" {
			s.Errorf("settings:\n%s", got)
		}
		s.idle(r, cleanup)

		// A leftover that comes in between is found in the verify phase, and left alone there.
		late := s.leave(jenkins, nil, "/bin/sleep", "1000")
		verify := *r
		verify.Steps = slices.DeleteFunc(slices.Clone(r.Steps), func(step recipe.Step) bool { return step.Phase != recipe.Verify })
		if report := s.steps(&verify, cleanup); report.Outcome != recipe.Failed || len(alive(map[string]int{"late": late})) == 0 {
			s.Errorf("with a process of the user: %s: %s", report.Outcome, report.Reason)
		}
	})
}
