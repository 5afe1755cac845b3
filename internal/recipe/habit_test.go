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
		{`umount -l /mnt/a`, "lazy", "mounts"},
		{`sudo -n umount -fl "$m"`, "lazy", "mounts"},
		{`umount --lazy /mnt/a`, "lazy", "mounts"},
		{`umount -f /mnt/a`, "", ""},
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
		{`find . -print0 | xargs -r0 rm`, "", ""},
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
	if _, err := recipe.Habits("a\nif b; then\n"); err == nil || !strings.Contains(err.Error(), "line 2, column 7") {
		t.Errorf("a script without its end: %v; want line and column", err)
	}
}

// FuzzHabits: whatever a script says, looking for habits does not panic.
func FuzzHabits(f *testing.F) {
	for _, s := range []string{`sudo`, `sudo -u`, `xargs -I{} rm $x`, `"" a`, `rm ""`, `rm -rf ""$x`, `a | b || true`, `timeout`, `env A=`, `$x -f`, `grep -e`, "`"} {
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
