// SPDX-License-Identifier: Apache-2.0

package procfs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

const tail = " 1 42 40 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0 0\n"

func TestStatIsReadWhateverTheNameHolds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sh", "a b", ") R 1 1 1", "((", "", "line\nend", "\xff\x00", "))) "} {
		s, err := procfs.ParseStat([]byte("123 (" + name + ") S" + tail))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		want := procfs.Stat{PID: 123, Name: name, State: 'S', Parent: 1, Group: 42, Session: 40, Threads: 1, Start: 777}
		if s != want {
			t.Errorf("%q: %+v; want %+v", name, s, want)
		}
	}
}

func TestStatOfAKernelThreadSaysSo(t *testing.T) {
	t.Parallel()
	s, err := procfs.ParseStat([]byte("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0 0\n"))
	if err != nil || !s.Kernel {
		t.Errorf("%+v, %v; want a kernel thread", s, err)
	}
}

func TestWhatIsNoStatIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "1", "1 (x", "x (x) S" + tail, "0 (x) S" + tail, "1 (x) SS" + tail, "1 (x) S 1 2", "1 (x) S a" + tail, ") 1 ("} {
		if s, err := procfs.ParseStat([]byte(text)); err == nil {
			t.Errorf("%q: %+v; want an error", text, s)
		}
	}
}

func TestEnvironFindsWholeNames(t *testing.T) {
	t.Parallel()
	e := procfs.Environ("XJOB_NAME=no\x00JOB_NAME=a=b\x00JOB_NAME_2=no\x00EMPTY=\x00\x00LAST=1")
	for name, want := range map[string]string{"JOB_NAME": "a=b", "LAST": "1", "EMPTY": "", "JOB": "", "NAME": "", "": ""} {
		if got := e.Get(name); got != want {
			t.Errorf("%s = %q; want %q", name, got, want)
		}
	}
}

func TestCgroupsOfBothVersions(t *testing.T) {
	t.Parallel()
	got := procfs.ParseCgroups([]byte("12:devices:/user.slice\n1:name=systemd:/a:b/c\n0::/ci.slice/job (deleted)\nrubbish\n3:x\n"))
	if want := []string{"/user.slice", "/a:b/c", "/ci.slice/job"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

func TestUIDIsTheRealOne(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"Name:\tUid:\nUmask:\t0022\nUid:\t10\t0\t0\t0\nGid:\t5\n": 10, "Uid:\t1": -1, "\nUid:\tx\t": -1, "": -1} {
		if uid, ok := procfs.ParseUID([]byte(text)); ok != (want >= 0) || ok && uid != want {
			t.Errorf("%q: %d, %v; want %d", text, uid, ok, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("123 (sh) S" + tail))
	f.Add([]byte("0::/a\n"))
	f.Add([]byte("A=1\x00B=2\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := procfs.ParseStat(text); err == nil {
			if s.PID < 1 || !strings.Contains(string(text), "("+s.Name+")") {
				t.Errorf("%q: %+v", text, s)
			}
		}
		for _, group := range procfs.ParseCgroups(text) {
			if !strings.HasPrefix(group, "/") {
				t.Errorf("%q: control group %q", text, group)
			}
		}
		if uid, ok := procfs.ParseUID(text); ok && uid < 0 {
			t.Errorf("%q: user %d", text, uid)
		}
		procfs.Environ(text).Get("A")
	})
}
