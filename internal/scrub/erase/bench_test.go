// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shape is a kind of tree to remove. At scale 1 it is as large as its name says.
type shape struct {
	name        string
	dirs, files int // directories two levels down, and files in each
	chain       int // directories in each other
	flat        int // files in one directory
}

var shapes = []shape{
	{name: "1 M files in 50,000 directories", dirs: 50_000, files: 20},
	{name: "100,000 directories", dirs: 100_000},
	{name: "a chain of 100,000", chain: 100_000},
	{name: "1 M files in one directory", flat: 1_000_000},
}

func (s shape) make(tb testing.TB, root string, scale int) {
	tb.Helper()
	wide(tb, root, s.dirs/scale, s.files)
	chain(tb, root, s.chain/scale)
	plant(tb, root, s.flat/scale)
}

// tops is how many directories stand directly in a wide tree.
const tops = 20

// wide makes a tree of two levels above the directories counted.
func wide(tb testing.TB, root string, dirs, files int) {
	tb.Helper()
	for i := range dirs {
		dir := fmt.Sprintf("%s/%d/%d/%d", root, i%tops, i/tops%25, i)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
		plant(tb, dir, files)
	}
}

func plant(tb testing.TB, dir string, files int) {
	tb.Helper()
	for i := range files {
		if err := os.WriteFile(dir+"/file"+strconv.Itoa(i), []byte("x"), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
}

func chain(tb testing.TB, root string, levels int) {
	tb.Helper()
	fd, err := unix.Open(root, directory, 0)
	for range levels {
		if err == nil {
			err = unix.Mkdirat(fd, "d", 0o755)
		}
		var next int
		if err == nil {
			next, err = unix.Openat(fd, "d", directory, 0)
		}
		if err != nil {
			tb.Fatal(err)
		}
		_ = unix.Close(fd)
		fd = next
	}
	_ = unix.Close(fd)
}

// rivals are who removes a tree: we, the two that we are measured by, and two at once, each with half of a wide tree. No program
// knows the halves beforehand; they show what the machine gives to two processors.
var rivals = []struct {
	name   string
	remove func(b *testing.B, dir, name string)
}{
	{"erase", func(b *testing.B, dir, name string) {
		b.Helper()
		tree, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		defer tree.Close()
		if r, err := tree.Remove(b.Context(), name, Options{}); err != nil || len(r.Problems) > 0 {
			b.Fatal(err, r.Problems)
		}
	}},
	{"rm -rf", func(b *testing.B, dir, name string) {
		b.Helper()
		run(b, "rm", "-rf", dir+"/"+name)
	}},
	{"find -delete", func(b *testing.B, dir, name string) {
		b.Helper()
		run(b, "find", dir+"/"+name, "-delete")
	}},
	{"two rm", func(b *testing.B, dir, name string) {
		b.Helper()
		halves := [2][]string{{"-rf"}, {"-rf"}}
		for i := range tops {
			halves[i%2] = append(halves[i%2], fmt.Sprintf("%s/%s/%d", dir, name, i))
		}
		var both sync.WaitGroup
		for _, half := range halves {
			both.Go(func() {
				if out, err := exec.Command("rm", half...).CombinedOutput(); err != nil {
					b.Errorf("rm: %v: %s", err, out)
				}
			})
		}
		both.Wait()
		run(b, "rmdir", dir+"/"+name)
	}},
}

func run(tb testing.TB, name string, args ...string) {
	tb.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// BenchmarkErase removes trees in turns with rm -rf and find -delete and tells how many times as long as the better of these it takes,
// by the medians of seven turns, and of the wide ones also how many times as long as two rm do. The trees have a fiftieth of the size
// that they are named by, or another part of it: PITCREW_SCALE=1 makes them whole, which takes hours.
func BenchmarkErase(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root: it mounts and drops caches")
	}
	scale := 50
	if text := os.Getenv("PITCREW_SCALE"); text != "" {
		var err error
		if scale, err = strconv.Atoi(text); err != nil || scale < 1 {
			b.Fatalf("PITCREW_SCALE=%q: want the number that sizes are divided by", text)
		}
	}
	for _, disk := range []string{"tmpfs", "ext4"} {
		for _, cold := range []bool{false, true} {
			if cold && disk == "tmpfs" {
				continue // it is never cold
			}
			for _, s := range shapes {
				b.Run(fmt.Sprintf("%s cold=%v/%s", disk, cold, s.name), func(b *testing.B) { compete(b, disk, cold, s, scale) })
			}
		}
	}
}

func compete(b *testing.B, disk string, cold bool, s shape, scale int) {
	b.Helper()
	const turns = 7
	rivals := rivals
	if s.dirs == 0 {
		rivals = rivals[:3] // it has no halves
	}
	dir := b.TempDir()
	ready := s.inMemory
	if disk == "ext4" {
		ready = s.onDisk
	}
	plant := ready(b, dir, scale)
	for range b.N {
		took := make([][]time.Duration, len(rivals))
		for turn := range turns {
			for i := range rivals {
				who := (i + turn) % len(rivals) // nobody is always the first
				plant(cold)
				began := time.Now()
				rivals[who].remove(b, dir, "x")
				took[who] = append(took[who], time.Since(began))
				if _, err := os.Lstat(dir + "/x"); err == nil {
					b.Fatalf("%s left something", rivals[who].name)
				}
			}
		}
		medians := make([]float64, len(rivals))
		for i := range took {
			slices.Sort(took[i])
			medians[i] = took[i][turns/2].Seconds()
			b.ReportMetric(1000*medians[i], "ms/"+[]string{"erase", "rm", "find", "two-rm"}[i])
		}
		b.ReportMetric(medians[0]/min(medians[1], medians[2]), "of-the-better")
		if len(medians) > 3 {
			b.ReportMetric(medians[0]/medians[3], "of-two-rm")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// inMemory mounts an empty tmpfs until the benchmark ends, and gives what makes a tree there.
func (s shape) inMemory(b *testing.B, dir string, scale int) func(cold bool) {
	b.Helper()
	run(b, "mount", "-t", "tmpfs", "-o", "nr_inodes=0", "tmpfs", dir)
	b.Cleanup(func() { run(b, "umount", dir) })
	return func(bool) {
		if err := os.Mkdir(dir+"/x", 0o755); err != nil {
			b.Fatal(err)
		}
		s.make(b, dir+"/x", scale)
	}
}

// onDisk makes a tree in an image of ext4 and gives what mounts a copy of that, in place of the one before: it takes a fraction of the
// time that making the tree takes. Where it is not to be cold, everything in it is looked at first.
func (s shape) onDisk(b *testing.B, dir string, scale int) func(cold bool) {
	b.Helper()
	images := b.TempDir()
	first := images + "/first"
	mount := func(image string) { run(b, "mount", "-o", "loop,noinit_itable", image, dir) } // or the kernel writes inodes while we measure
	run(b, "truncate", "-s", "12G", first)
	run(b, "mkfs.ext4", "-q", "-N", "1500000", first)
	mount(first)
	if err := os.Mkdir(dir+"/x", 0o755); err != nil {
		b.Fatal(err)
	}
	s.make(b, dir+"/x", scale)
	run(b, "umount", dir)
	image, copies := "", 0
	remove := func() {
		if image != "" {
			run(b, "umount", dir)
			run(b, "rm", image)
			image = ""
		}
	}
	b.Cleanup(remove)
	return func(cold bool) {
		remove()
		copies++ // never the same file: of one that has just been detached the kernel may remember how it was
		image = fmt.Sprintf("%s/%d", images, copies)
		run(b, "cp", "--sparse=always", first, image)
		mount(image)
		if cold {
			unix.Sync()
			if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
				b.Fatal(err)
			}
			return
		}
		run(b, "find", dir, "-size", "+1024G")
	}
}
