// SPDX-License-Identifier: Apache-2.0

package procfs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// The tables as Linux 6.1 writes them.
const (
	shmTable = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n" +
		"-553596698          7  1644                   100 14719     0      2  1000     0  1001     0          0          0 1795980378                  4096                     0\n"
	semTable = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n" +
		" 631310290          0   644          2     5     0     6     0          0 1795980379\n"
	msgTable = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n" +
		" 972787668      32768   644          12          1     0     0     5     0     6     0          0          0 1795980380\n"
)

func TestTablesOfIPCAreReadByTheirColumns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]procfs.IPC{
		shmTable: {ID: 7, Key: -553596698, Mode: 0o1644, UID: 1000, CUID: 1001, Bytes: 100, Attached: 2, Changed: 1795980378},
		semTable: {ID: 0, Key: 631310290, Mode: 0o644, UID: 5, CUID: 6, Changed: 1795980379},
		msgTable: {ID: 32768, Key: 972787668, Mode: 0o644, UID: 5, CUID: 6, Bytes: 12, Changed: 1795980380},
	} {
		got, err := procfs.ParseIPC([]byte(text))
		if err != nil || !slices.Equal(got, []procfs.IPC{want}) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if all, _ := procfs.ParseIPC([]byte(shmTable)); len(all) != 1 || !all[0].Doomed() {
		t.Errorf("%+v; want one that has been removed", all)
	}
}

func TestWhatIsNoTableOfIPCIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "key\n", "key shmid perms uid\n", strings.Replace(semTable, "631310290", "x", 1), strings.Replace(semTable, " 644 ", " 648 ", 1), semTable + "1 2\n"} {
		if got, err := procfs.ParseIPC([]byte(text)); err == nil {
			t.Errorf("%q: %+v; want an error", text, got)
		}
	}
}

func TestSegmentsOfAProcess(t *testing.T) {
	t.Parallel()
	maps := "7f1-7f2 rw-s 00000000 00:01 5                          /SYSV00000000 (deleted)\n" +
		"7f3-7f4 rw-s 00000000 00:01 5                          /SYSV00000000 (deleted)\n" +
		"7f5-7f6 r--s 00000000 00:01 32769                      /SYSV210026da (deleted)\n" +
		"7f7-7f8 rw-s 00000000 fe:00 9                          /home/SYSV (deleted)\n" +
		"7f9-7fa rw-p 00000000 00:00 0\nrubbish\n"
	if got, want := procfs.ParseSegments([]byte(maps)), []int{5, 5, 32769}; !slices.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
}

func FuzzParseIPC(f *testing.F) {
	for _, text := range []string{shmTable, semTable, msgTable} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if all, err := procfs.ParseIPC(text); err == nil && len(all) > strings.Count(string(text), "\n") {
			t.Errorf("%q: %d objects", text, len(all))
		}
		procfs.ParseSegments(text)
	})
}
