// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRootTakesOnlyWhatItProvesToWhereNobodyElseWrites gives root's side of raising what sudo gives it.
func TestRootTakesOnlyWhatItProvesToWhereNobodyElseWrites(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs root")
		}
		t.Skip("this test needs root; CI runs it")
	}
	need(t, "unshare", "util-linux")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"mine", "sticky", "open", "group", "theirs/mine", "noexec", "full"} {
		if err := os.MkdirAll(at(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(at("sticky"), 0o777|os.ModeSticky), os.Chmod(at("open"), 0o777), os.Chmod(at("group"), 0o775),
		os.Chown(at("theirs"), nobody, nobody), os.Symlink("mine", at("link"))); err != nil {
		t.Fatal(err)
	}
	const stage = "echo \"at $root_dir\"\ncat >>\"$root_dir/more\"\n"
	for name, c := range map[string]struct {
		places []string
		sent   string
		want   string
	}{
		"root's own":                   {[]string{"mine"}, stage, "at mine/"},
		"one for all, if it is sticky": {[]string{"sticky"}, stage, "at sticky/"},
		"others can write":             {[]string{"open", "group", "mine"}, stage, "at mine/"},
		"others can put another there": {[]string{"theirs", "theirs/mine", "mine"}, stage, "at mine/"},
		"a link":                       {[]string{"link"}, stage, "at mine/"},
		"execution is preferred":       {[]string{"noexec", "full", "mine"}, stage, "at mine/"},
		"without execution if need be": {[]string{"full", "noexec"}, stage, "at noexec/"},
		"nowhere":                      {[]string{"open", "full"}, stage, "pitcrew deny root has no place to unpack: DIR/open: others could change it; DIR/full: no room for 64 KiB;"},
		"something else was sent":      {[]string{"mine"}, strings.Replace(stage, "at ", "AT ", 1), "pitcrew deny what was to be raised did not arrive as it was sent"},
		"less was sent":                {[]string{"mine"}, stage[:20], "pitcrew deny what was to be raised did not arrive as it was sent"},
	} {
		t.Run(name, func(t *testing.T) {
			const enter = `mount --make-rprivate / && mount -t tmpfs -o noexec,size=1m none "$1/noexec" && mount -t tmpfs -o size=8k none "$1/full" && shift && exec "$@"`
			args := []string{
				"-m", "/bin/sh", "-c", enter, "enter", dir,
				"/bin/sh", "-c", terse(digestPart + roomPart + provePart), "pitcrew", fmt.Sprint(len(stage)), fmt.Sprint(len(stage)), sha256Hex([]byte(stage)),
			}
			for _, place := range c.places {
				args = append(args, at(place))
			}
			cmd := exec.CommandContext(t.Context(), "unshare", args...)
			cmd.Stdin = strings.NewReader(c.sent)
			out, _ := cmd.CombinedOutput() // the code is 125 where it is denied
			got := strings.ReplaceAll(string(out), dir, "DIR")
			if strings.HasPrefix(c.want, "at ") {
				got = strings.ReplaceAll(got, "at DIR/", "at ")
			}
			if !strings.HasPrefix(got, "pitcrew began\n"+c.want) {
				t.Errorf("it says\n%s\nwant %q", got, c.want)
			}
			for _, place := range []string{"mine", "sticky", "open", "group", "theirs/mine"} {
				empty(t, at(place))
			}
		})
	}
}
