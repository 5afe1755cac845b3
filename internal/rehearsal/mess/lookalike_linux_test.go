// SPDX-License-Identifier: Apache-2.0

package mess

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLookAlikesSurvive: what looks like the mess, but was made by others, is still there after undo.
func TestLookAlikesSurvive(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	for name, c := range map[string]struct {
		before, change string // shell; $M is what all names of the mess begin with
		still          string // succeeds if the look-alike is whole
		maker          string
		want           State
		says           string
	}{
		"a directory that has taken the place": {
			change: "mv $M-files-links $X.away; mkdir $M-files-links; echo theirs >$M-files-links/original",
			still:  "grep theirs $M-files-links/original", maker: "files-links", want: Gone,
		},
		"a link that has taken the place": {
			change: "mkdir $X; echo theirs >$X/original; mv $M-files-links $X.away; ln -s $X $M-files-links",
			still:  "grep theirs $X/original && [ -L $M-files-links ]", maker: "files-links", want: Gone,
		},
		"a file that somebody put into the mess": {
			change: "echo theirs >$M-files-tree/level-0/theirs",
			still:  "grep theirs $M-files-tree/level-0/theirs", maker: "files-tree", want: Left, says: "level-0/theirs",
		},
		"a directory that was moved into the mess": {
			change: "mkdir -p $X/closed; chmod 0 $X/closed; mv $X $M-files-tree/level-0/",
			still:  "[ -d $M-files-tree/level-0/look-alike/closed ]", maker: "files-tree", want: Left, says: "not empty",
		},
		"what links lead to": {
			before: "mkdir $X; echo theirs >$X/file",
			change: "ln -s $X $M-files-links/to-theirs; rm $M-files-links/to-theirs; ln -sfn $X $M-files-links/to-nowhere",
			still:  "grep theirs $X/file && [ -e /etc/passwd ]", maker: "files-links", want: Left,
		},
		"names of the same beginning": {
			before: "echo theirs >$M-files-tree-2; echo theirs >$M",
			still:  "grep theirs $M-files-tree-2 && grep theirs $M", maker: "files-tree", want: Removed,
		},
		"a mount in the mess": {
			change: "mount -t tmpfs theirs $M-files-tree/level-0/level-1; echo theirs >$M-files-tree/level-0/level-1/file",
			still:  "grep theirs $M-files-tree/level-0/level-1/file && umount $M-files-tree/level-0/level-1", maker: "files-tree", want: Left, says: "not empty",
		},
		"a mount over the mount": {
			change: "mount -t tmpfs theirs $M-mount-tmpfs/mount; echo theirs >$M-mount-tmpfs/mount/file",
			still:  "grep theirs $M-mount-tmpfs/mount/file && umount $M-mount-tmpfs/mount", maker: "mount-tmpfs", want: Left, says: "another mount lies over",
		},
		"a mount in its place": {
			change: "umount $M-mount-tmpfs/mount; mount -t tmpfs theirs $M-mount-tmpfs/mount; echo theirs >$M-mount-tmpfs/mount/file",
			still:  "grep theirs $M-mount-tmpfs/mount/file && umount $M-mount-tmpfs/mount", maker: "mount-tmpfs", want: Left,
		},
		"the same mount elsewhere": {
			before: "mkdir $X",
			change: "mount --bind $M-mount-tmpfs/mount $X",
			still:  "grep inside $X/file && umount $X", maker: "mount-tmpfs", want: Removed,
		},
		"a loop device of a file of another name": {
			change: "truncate -s 1M $M-loop/loop.img2 && losetup -f $M-loop/loop.img2",
			still:  "losetup --list -O BACK-FILE | grep $M-loop/loop.img2 && losetup -d $(losetup -j $M-loop/loop.img2 -n -O NAME)", maker: "loop", want: Left, says: "loop.img2",
		},
		"a memory segment of the size": {
			change: "ipcmk -M $(awk 'NR == 2 {print $4}' /proc/sysvipc/shm)",
			still:  "[ $(grep -c . /proc/sysvipc/shm) = 2 ] && ipcrm -a", maker: "ipc-sysv", want: Removed,
		},
		"a memory object of the name": {
			change: "mv /dev/shm/mess-$ID /dev/shm/away; echo theirs >/dev/shm/mess-$ID",
			still:  "grep theirs /dev/shm/mess-$ID; rm /dev/shm/*", maker: "ipc-posix", want: Gone,
		},
		"a process of a number of ours": {
			change: "p=$(awk '$1 == \"process\" && $2 == \"process-bare\" {print $3}' $L); kill -9 $p; sleep 4141 & sed -i \"s/^process process-bare $p /process process-bare $! /\" $L",
			still:  "pgrep -xf 'sleep 4141' && kill -9 $(pgrep -xf 'sleep 4141')", maker: "process-bare", want: Removed, says: "mess-" + testID + "-process-bare with 1",
		},
		"a process of the same command": {
			before: "sleep " + life + " & echo $! >$X",
			still:  "kill -0 $(cat $X) && kill -9 $(cat $X)", maker: "process-session", want: Removed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t, "dash", named(c.maker))
			run := func(script string) (string, error) {
				c := exec.Command("sh", "-c", script)
				c.Env = append(os.Environ(), "M="+g.dir+"/mess-"+testID, "X="+filepath.Join(filepath.Dir(g.dir), "look-alike"), "L="+g.ledger, "ID="+testID)
				c.Dir = "/"
				file, err := os.CreateTemp(t.TempDir(), "")
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				c.Stdout, c.Stderr = file, file // a process that stays must not keep a pipe open
				err = c.Run()
				text, _ := os.ReadFile(file.Name())
				return string(text), err
			}
			if out, err := run("set -e\n" + c.before); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			g.run(t, "make")
			if out, err := run("set -e\n" + c.change); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			l := g.run(t, "undo")[c.maker]
			if l.State != c.want || !strings.Contains(l.Detail, c.says) {
				t.Errorf("%s; want it %s, %q", l, c.want, c.says)
			}
			if out, err := run(c.still); err != nil {
				t.Errorf("the look-alike has not survived: %v\n%s", err, out)
			}
		})
	}
}
