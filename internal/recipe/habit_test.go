// SPDX-License-Identifier: Apache-2.0

package recipe_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestHabits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script string
		want   string // a part of why, "" for no habit
		kind   spec.Kind
	}{
		{"bash <<EOF\numount -l /mnt/a\nEOF", "lazy", "mounts"},
		{"sudo -n sh -e <<'EOF'\nx=1\nrm -rf $x\nEOF", "unquoted", "files"},
		{"ssh -p 22 host <<-EOF\n\tpkill -f lago\n\tEOF", "command line", "processes"},
		{"ssh host bash -s -- a <<\\EOF\nkillall java\nEOF", "everybody", "processes"},
		{"su - ci <<EOF\nrm -rf \\$x\nEOF", "unquoted", "files"},
		{"ssh host 'bash -s' <<EOF\numount -l /mnt/a\nEOF", "lazy", "mounts"},
		{"ssh host 'cat >x' <<EOF\numount -l /mnt/a\nEOF", "", ""},
		{"cat <<EOF | bash\numount -l /mnt/a\nEOF", "lazy", "mounts"},
		{"cat - <<EOF | ssh host sudo -n bash\numount -l /mnt/a\nEOF", "lazy", "mounts"},
		{"cat <<EOF | tee file\numount -l /mnt/a\nEOF", "", ""},
		{"echo 'umount -l /mnt/a' | sh", "lazy", "mounts"},
		{"sudo -ns <<EOF\numount -l /mnt/a\nEOF", "lazy", "mounts"},
		{"sudo -n -i <<EOF\numount -l /mnt/a\nEOF", "lazy", "mounts"},
		{"runuser -u ci -- umount -l /mnt/a", "lazy", "mounts"},
		{"runuser -l ci -c 'umount -l /mnt/a'", "lazy", "mounts"},
		{"cat >file <<EOF\numount -l /mnt/a\nEOF", "", ""},
		{"bash script <<EOF\numount -l /mnt/a\nEOF", "", ""},
		{"ssh host cat <<EOF\numount -l /mnt/a\nEOF", "", ""},
		{"bash <<EOF\nif\nEOF", "cannot be read as a script", ""},
		{`trap 'umount -l /mnt/a' EXIT`, "lazy", "mounts"},
		{`trap -- "pkill -f lago" EXIT TERM`, "command line", "processes"},
		{`trap cleanup EXIT`, "", ""},
		{`trap - EXIT`, "", ""},
		{`trap EXIT`, "", ""},
		{`for p in $(pgrep x); do kill $p; done`, "used again", "processes"},
		{`for p in $(ps ax | grep x | awk '{print $1}'); do if test "$p" != 1; then sudo -n kill -9 "${p}"; fi; done`, "used again", "processes"},
		{`for p in $(pgrep x); do echo $p; done`, "", ""},
		{`for p in $(pgrep x); do kill $q; done`, "", ""},
		{`for p in 1 2; do kill $p; done`, "", ""},
		{`pgrep x | while read -r p; do kill $p; done`, "used again", "processes"},
		{`ps | grep x | awk '{print $1}' | xargs kill`, "used again", "processes"},
		{`umount -l /mnt/a`, "lazy", "mounts"},
		{`sudo -n umount -fl "$m"`, "lazy", "mounts"},
		{`umount --lazy /mnt/a`, "lazy", "mounts"},
		{`umount -f /mnt/a`, "", ""},
		{`\umount -l /mnt/a`, "lazy", "mounts"},
		{`flock -w 5 /run/lock/ci umount -l /mnt/a`, "lazy", "mounts"},
		{`doas -u root umount -l /mnt/a`, "lazy", "mounts"},
		{`nsenter -t 1 -m umount -l /mnt/a`, "lazy", "mounts"},
		{`chroot /srv/root umount -l /mnt/a`, "lazy", "mounts"},
		{`systemd-run -p User=ci umount -l /mnt/a`, "lazy", "mounts"},
		{`fusermount -uz /mnt/a`, "lazy", "mounts"},
		{`fusermount3 -u -z /mnt/a`, "lazy", "mounts"},
		{`fusermount -u /mnt/a`, "", ""},
		{`podman system reset -f`, "takes everybody's", "containers"},
		{`docker ps -aq | xargs -r docker rm -f`, "takes everybody's", "containers"},
		{`docker rm -f ci-db`, "", ""},
		{`iptables -F`, "those of the container engine", "network"},
		{`sudo -n ip6tables -t nat --flush`, "those of the container engine", "network"},
		{`iptables -F CI-CHAIN`, "", ""},
		{`nft flush ruleset`, "those of the container engine", "network"},
		{`nft flush chain inet ci input`, "", ""},
		{`umount /mnt/lazy-l`, "", ""},
		{`pkill -f lago`, "command line", "processes"},
		{`pkill -9f lago`, "command line", "processes"},
		{`pkill -u ci`, "", ""},
		{`pgrep --full x`, "command line", "processes"},
		{`killall java`, "everybody", "processes"},
		{`kill -9 $(cat pids)`, "used again", "processes"},
		{`ps ax | grep x | xargs -r kill -9`, "used again", "processes"},
		{`kill "$pid"`, "", ""},
		{`rm -rf $WORKSPACE`, "unquoted", "files"},
		{`xargs -0 rm -rf`, "", ""},
		{`rm -f ${list[@]}`, "unquoted", "files"},
		{`rm -rf "$dir"/*`, "begins at /", "files"},
		{`rm -rf "$dir/build"`, "begins at /", "files"},
		{`rm -rf "/home/$user"`, "begins at /", "files"},
		{`rm -rf "${dir:?}/build"`, "", ""},
		{`rm -rf "$dir"`, "", ""},
		{`rm -f "$dir/file"`, "", ""},
		{`rm -rf /tmp/*`, "private directories", "files"},
		{`rm -rf /tmp/ci`, "", ""},
		{`cd build; rm -rf *`, "current directory", "files"},
		{`rm -f /var/lib/dpkg/lock`, "package manager", "packages"},
		{`rm -f /var/lib/rpm/__db.001`, "package manager", "packages"},
		{`find . -name x | xargs rm`, "blanks or line ends", "files"},
		{`find . -xdev -print0 | xargs -r0 rm`, "", ""},
		{`docker rm x || true`, "hidden", ""},
		{`docker rm x || :`, "hidden", ""},
		{`test -e x || exit 1`, "", ""},
		{`set +e`, "hidden", ""},
		{`set -e`, "", ""},
		{`mount | grep /var/lib/mock`, "parts of other mount points", "mounts"},
		{`grep -q " $m " /proc/mounts`, "", ""},
		{`grep -q "$m" /proc/mounts`, "parts of other mount points", "mounts"},
		{`cat /proc/mounts | grep -c '^/dev/sda1 '`, "", ""},
		{`cat /proc/mounts | grep -e foo`, "parts of other mount points", "mounts"},
		{`findmnt -n -o TARGET | grep -x "$m"`, "", ""},
		{`grep "$u" /etc/passwd`, "getent", "users"},
		{`awk -F: '{print $1}' /etc/passwd`, "getent", "users"},
		{`losetup -D`, "everybody", "loops"},
		{`losetup -d /dev/loop7`, "", ""},
		{`sudo -n dmsetup remove_all`, "everybody", "loops"},
		{`docker system prune -af`, "everybody's", "containers"},
		{`docker rm -f $(docker ps -aq)`, "everybody's", "containers"},
		{`docker ps`, "", ""},
		{`virsh undefine x --remove-all-storage`, "volumes", "vms"},
		{`sudo rm -f x`, "password", ""},
		{`sudo -u postgres psql -l`, "password", ""},
		{`sudo -n -u postgres psql -l`, "", ""},
		{`sudo -nu postgres psql -l`, "", ""},
		{`timeout 5 umount -l x`, "lazy", "mounts"},
		{`env A=1 nice -n 10 pkill -f x`, "command line", "processes"},
		{`/usr/bin/umount -l x`, "lazy", "mounts"},
		{`echo 'rm -rf $x' "umount -l"`, "", ""},
		{`if x; then f() { umount -l y; }; fi`, "lazy", "mounts"},
	} {
		found, err := recipe.Habits(c.script)
		for _, h := range found {
			if h.Instead != "" && !slices.Contains(spec.Kinds(), h.Instead) {
				t.Errorf("%s: it says to use a step of kind %q, which there is not", c.script, h.Instead)
			}
		}
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.script, err)
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: %+v; want none", c.script, found)
		case c.want == "":
		case !slices.ContainsFunc(found, func(h recipe.Habit) bool { return strings.Contains(h.Why, c.want) && h.Instead == c.kind }):
			t.Errorf("%s: %+v; want one of kind %q about %q", c.script, found, c.kind, c.want)
		case len(found) > 1:
			t.Errorf("%s: %+v; want one", c.script, found)
		}
	}
}

func TestHabitsOfEachKindAndTheirNeighbours(t *testing.T) {
	t.Parallel()
	const (
		loose   = "parts of other mount points"
		hidden  = "hidden"
		strays  = "mounted below"
		shared  = "neither age nor owner"
		unknown = "known only when it runs"
	)
	for _, c := range []struct{ script, want string }{
		// fuser
		{`fuser -k /var/lib/ci`, "processes: ends whoever"},
		{`fuser --kill -TERM /var/lib/ci`, "processes: ends whoever"},
		{`fuser -km /mnt/ci`, "mounts: ends everybody"},
		{`sudo -n fuser -m -k "$m"`, "mounts: ends everybody"},
		{`fuser -vm /mnt/ci`, ""},
		{`fuser -KILL /mnt/ci`, ""},

		// awk and sed on mount tables
		{`awk '/lago/' /proc/mounts`, loose},
		{`awk '/lago/{print $2}' /etc/mtab`, loose},
		{`awk -v x="$x" '$2 ~ x || /lago/ { print $2 }' /proc/1/mounts`, loose},
		{`awk '$2 ~ "/var/tmp/foo" {print $2}' /proc/mounts`, loose},
		{`awk '$5 ~ /foo/ {print $5}' /proc/self/mountinfo`, loose},
		{`awk '{ if (/foo/) print $2 }' < /proc/mounts`, loose},
		{`sed -n '/lago/p' /proc/self/mountinfo`, loose},
		{`sed -n -e '\|/var/tmp/foo|p' /proc/mounts`, loose},
		{`mount | awk '/lago/ {print $3}'`, loose},
		{`mount | awk '{print $3}' | grep lago`, loose},
		{`cut -d' ' -f2 /proc/mounts | grep "$m"`, loose},
		{`findmnt -rn | grep lago | cut -d' ' -f1`, loose},
		{`grep lago < /proc/mounts`, loose},
		{`awk -v m="$m" '$2 == m {print $1}' /proc/mounts`, ""},
		{`awk '$2 ~ /^\/mnt\/ci$/ {print $2}' /proc/mounts`, ""},
		{`awk '/ \/mnt\/ci /' /proc/mounts`, ""},
		{`awk '$3 ~ /nfs/ {print $2}' /proc/mounts`, ""},
		{`mount | awk '$5 ~ /nfs/ {print $3}'`, ""},
		{`awk '$2 == "/mnt/a/b" {print $4/2, $5/2; gsub(/a/, "b")} # /x/' /proc/mounts`, ""},
		{`awk -f mounts.awk /proc/mounts`, ""},
		{`awk '/lago/' /etc/hosts`, ""},
		{`sed 's/ .*//' /proc/mounts`, ""},
		{`sed -n '/^tmpfs/p' /proc/mounts`, ""},
		{`sed -n '/x/p' /etc/fstab`, ""},
		{`mount | awk '{print $3}' | sort -r`, ""},
		{`mount | grep -q "on $m type"`, ""},
		{`grep -m 1 "[[:space:]]$m[[:space:]]" /proc/mounts`, ""},

		// failures that are not seen
		{`rm -r a || exit 0`, hidden},
		{`cd build || return 0`, hidden},
		{`rm -r a || exit 1`, ""},
		{`rm -r a || exit`, ""},
		{`test -d a || exit 0`, ""},
		{`[[ -d a ]] && command -v killall >/dev/null || return 0`, ""},
		{`mount | grep -qx a || exit 0`, ""},
		{`rm -r a; true`, "succeeds whatever"},
		{"rm -r a\n:\n", "succeeds whatever"},
		{"set -eu\nrm -r a\ntrue\n", ""},
		{"#!/bin/sh -e\nrm -r a\ntrue\n", ""},
		{`while true; do rm a; break; done`, ""},
		{"true", ""},
		{"rm a\n: > log\n", ""},
		{`set +eu`, hidden},
		{`set +o errexit`, hidden},
		{`set -o errexit; set +x`, ""},

		// find
		{`find build -name '*.o' -delete`, strays},
		{`find . -type d -exec rm -rf {} +`, strays},
		{`find . -maxdepth 1 -exec rm -rf {} \;`, strays},
		{`find . -print0 | grep -z x | xargs -0 rm -f`, strays},
		{`find /tmp -xdev -user ci -delete`, shared},
		{`find /var/tmp/ -xdev -mindepth 1 -mtime +2 -exec sudo -n rm -rf {} +`, shared},
		{`find /tmp -xdev ! -name 'ssh-*' -mtime +2 -delete`, shared},
		{`find build -xdev -name '*.o' -delete`, ""},
		{`find . -maxdepth 1 -name '*.log' -delete`, ""},
		{`find /tmp -xdev -name 'ci-*' -user ci -delete`, ""},
		{`find . -name '*.sh' -exec chmod +x {} +`, ""},
		{`find /tmp -user ci -mtime +2`, ""},
		{`find a -xdev -name '*x' | xargs -d '\n' rm`, ""},
		{`find . -exec umount -l {} \;`, "lazy"},

		// scripts in scripts
		{`bash -c 'cd /mnt; umount -l a'`, "lazy"},
		{`sh -ec "umount -l a"`, "lazy"},
		{`bash -o pipefail -c 'umount -l a'`, "lazy"},
		{`su - ci -c 'umount -l a'`, "lazy"},
		{`su --command 'umount -l a' ci`, "lazy"},
		{`sudo -n sh -c 'umount -l a'`, "lazy"},
		{`eval umount '-l a'`, "lazy"},
		{`ssh -o BatchMode=yes -i key "$host" sudo -n umount -l a`, "lazy"},
		{`ssh host 'sh -c "umount \"-l\" a"'`, "lazy"},
		{`bash -c "umount -l $m"`, unknown},
		{`ssh host "umount -l $m"`, unknown},
		{`eval "$command"`, unknown},
		{`sh -c $'umount \x2dl a'`, unknown},
		{`sh -c 'if'`, "cannot be read"},
		{`bash -c 'umount a'`, ""},
		{`bash -x cleanup.sh -c 'umount -l a'`, ""},
		{`sh -c 'echo "$1"' - 'umount -l a'`, ""},
		{`ssh "$host"`, ""},
		{`su ci`, ""},
		{`su -s /bin/sh ci`, ""},
		{`echo eval 'umount -l a'`, ""},

		// numbers and names of processes
		{`kill -9 $(pgrep x)`, "used again"},
		{"kill \"`cat pid`\"", "used again"},
		{`kill $(ps aux | grep x | awk '{print $2}')`, "used again"},
		{`ps aux | awk '/x/ {print $2}' | xargs -r kill`, "used again"},
		{`kill -TERM "$!"`, ""},
		{`pkill java`, "part of a name"},
		{`pkill -HUP java`, "part of a name"},
		{`pkill -USR1 java`, "part of a name"},
		{`pkill -9 -x java`, ""},
		{`pkill -KILL -u ci java`, ""},
		{`pkill --euid=ci java`, ""},
		{`pkill -P $$`, ""},
		{`killall -9 java`, "everybody"},
		{`killall -u ci java`, ""},
		{`command -v killall`, ""},
	} {
		found, err := recipe.Habits(c.script)
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.script, err)
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: %+v; want none", c.script, found)
		case c.want != "" && (len(found) != 1 || !strings.Contains(string(found[0].Instead)+": "+found[0].Why, c.want)):
			t.Errorf("%s: %+v; want one about %q", c.script, found, c.want)
		}
	}
}

func TestHabitsOfATextAreShownAtTheCommandThatRunsIt(t *testing.T) {
	t.Parallel()
	found, err := recipe.Habits("cd /\n  ssh host '\n\nsu ci -c \"umount -l a\"\npkill -f x'\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range found {
		got = append(got, strings.Join([]string{string(rune('0' + h.Line)), string(rune('0' + h.Column)), h.Command}, " "))
	}
	if diff := cmp.Diff([]string{"2 3 umount -l a", "2 3 pkill -f x"}, got); diff != "" {
		t.Errorf("habits (-want +got):\n%s", diff)
	}
	found, err = recipe.Habits(strings.Repeat("eval ", 5000) + "umount -l a")
	if err != nil || len(found) != 1 || !strings.Contains(found[0].Why, "cannot be read") {
		t.Errorf("texts in texts without end: %+v, %v; want one note", found, err)
	}
}

func TestHabitsAreShownWhereTheyStand(t *testing.T) {
	t.Parallel()
	found, err := recipe.Habits("#!/bin/sh\nfor m in a b; do\n\tsudo umount \\\n\t\t-l \"$m\"   # gone\ndone\npkill -f x || true\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range found {
		got = append(got, strings.Join([]string{string(rune('0' + h.Line)), string(rune('0' + h.Column)), h.Command}, " "))
	}
	want := []string{`3 2 sudo umount -l "$m"`, `3 2 sudo umount -l "$m"`, `6 1 pkill -f x || true`, `6 1 pkill -f x`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("habits (-want +got):\n%s", diff)
	}
	for line, want := range map[string]string{
		"#!/usr/bin/python3": "for python3", "#!/usr/bin/env -S perl -w": "for perl", "#!/bin/sh -e": "", "#!/usr/bin/env bash": "", "#! /bin/ksh": "", "#!/bin/busybox ash": "", "#!": "",
	} {
		if _, err := recipe.Habits(line + "\nimport os\n"); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", line, err, want)
		}
	}
	if _, err := recipe.Habits("a\nif b; then\n"); err == nil || !strings.Contains(err.Error(), "line 2, column 7") {
		t.Errorf("a script without its end: %v; want line and column", err)
	}
}

// FuzzHabits: whatever a script says, looking for habits does not panic.
func FuzzHabits(f *testing.F) {
	for _, s := range []string{
		`sudo`, `sudo -u`, `xargs -I{} rm $x`, `"" a`, `rm ""`, `rm -rf ""$x`, `a | b || true`, `timeout`, `env A=`, `$x -f`, `grep -e`, "`", "mount | awk /", `sed '\' /etc/mtab`,
		`sed "\\x" /proc/mounts`, `find -exec`, `find -maxdepth`, `su -c`, `ssh -o`, `eval ""`, `sh -c "eval 'bash -c x'"`, "awk '$2 ~ \"' /etc/mtab", `kill ""`,
		"a; :", `awk '/00000000#' /etc/mtab`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		found, err := recipe.Habits(s)
		for _, h := range found {
			if err != nil || h.Line < 1 || h.Column < 1 || h.Why == "" || h.Command == "" {
				t.Errorf("%+v, %v", h, err)
			}
		}
	})
}

func TestAWrappedScriptIsARecipe(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"cleanup.sh":    "#!/bin/bash\nx=(a b)\necho \"${x[@]}\"\n",
		"no first line": "[[ -e x ]] && rm x\n",
		`odd "name".sh`: "echo hello\n",
		"true.sh":       "echo hello\n",
		"007.sh":        "echo hello\n",
		"null":          "echo hello\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "recipe.yaml")
		if err := os.WriteFile(file, recipe.Wrap(name, []byte(script)), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := recipe.Load(file)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, recipe.Wrap(name, []byte(script)))
			continue
		}
		if got := r.Steps[0].Script; string(got) != script {
			t.Errorf("%s: the step runs %q", name, got)
		}
	}
}
