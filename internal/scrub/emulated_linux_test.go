// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// foreign and foreignArch say that this run has its steps done by scrub for another platform: by that program, for that architecture.
const foreign, foreignArch = "SCRUB_TEST_FOREIGN", "SCRUB_TEST_FOREIGN_ARCH"

// platform is one that programs carry scrub for and that the tests do not run on.
type platform struct {
	emulator string
	machine  elf.Machine
	order    elf.Data
	// noLinks is that the emulator shows none to anybody: it does not turn round the bytes of an attribute of netlink that has no content, and
	// the kernel sends such with each link.
	noLinks bool
}

var platforms = map[string]platform{
	"arm64":   {emulator: "qemu-aarch64-static", machine: elf.EM_AARCH64, order: elf.ELFDATA2LSB},
	"ppc64le": {emulator: "qemu-ppc64le-static", machine: elf.EM_PPC64, order: elf.ELFDATA2LSB},
	"s390x":   {emulator: "qemu-s390x-static", machine: elf.EM_S390, order: elf.ELFDATA2MSB, noLinks: true},
}

// emulated has a step done by a user's process of scrub for another platform, if this run is one of such; ok is whether it is. The emulator is
// started by its name with that program, so that nothing has to be registered with the kernel.
func emulated(t *testing.T, uid uint32, s spec.Spec, here scrub.Here, mode scrub.Mode) (r spec.Result, ok bool) {
	t.Helper()
	if os.Getenv(foreign) == "" {
		return r, false
	}
	if here.Tools != nil || here.Homes != nil || len(here.Spared) > 1 {
		t.Fatalf("%+v cannot be told to a program by its environment", here)
	}
	s.Version, s.Name = spec.Version, "emulated"
	text, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dir := open(t)
	if err := os.Chown(dir, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	verb := map[scrub.Mode]string{scrub.Do: "run", scrub.Plan: "plan", scrub.Judge: "verify"}[mode]
	c := emulate(t, verb, "-", "--result", dir)
	c.Env = append(
		os.Environ(), "NODE_NAME="+here.Agent, "JENKINS_URL="+here.Controller, "PITCREW_CONTROLLER="+here.Issuer, "WORKSPACE="+here.Workspace,
		"BUILD_TAG="+here.Tag, "JENKINS_SERVER_COOKIE="+here.Cookie, "PITCREW_FILES="+strings.Join(here.Spared, ""),
		"PITCREW_ENGINE="+strconv.Itoa(here.Engine),
	)
	c.Stdin = strings.NewReader(string(text))
	if uid != 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := c.CombinedOutput() // its exit code says what the result says too
	line, noResult := os.ReadFile(filepath.Join(dir, "result"))
	if unread := errors.Join(noResult, json.Unmarshal(line, &r)); unread != nil {
		t.Fatalf("%q: %v, %v\n%s", c.Args, err, unread, out)
	}
	return r, true
}

// emulate is a command of scrub for the other platform. It stands where it removes nothing.
func emulate(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), platforms[os.Getenv(foreignArch)].emulator, slices.Concat([]string{os.Getenv(foreign)}, args)...)
	c.Dir = "/"
	return c
}

// TestOtherPlatformsDoTheSame has scrub for each of the other platforms do the steps of tests, under an emulator. What those make and how they judge
// is this platform's. Left out is what is slow, or no other than here for a kernel or a byte order.
func TestOtherPlatformsDoTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("mostly runs other programs; left to the longer run")
	}
	t.Parallel()
	asRoot(t)
	tests := []string{
		"TestProcessesEndOnEvidenceOnly", "TestWhatALoanLeftEnds", "TestACleanupOnALoanDoesNotEndItself",
		"TestOwnedDirectoriesAreEmptiedAndStay", "TestOfSharedDirectoriesOnlyOwnThingsGo", "TestMountsThatTheCleanupWorksInStay", "TestIPCOfOwnedUsersIsRemoved",
		"TestOwnIPCGoesWithoutRoot", "TestSegmentsInUse", "TestQueuesOfOwnedUsersAreRemoved", "TestFilesArePlacedAsRootAndGivenBack",
		"TestValuesOfTheKernelAreSet", "TestClocksAreJudgedByServersThatKnowTheTime",
	}
	for arch, p := range platforms {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			needs(t, p.emulator)
			program := scrubFor(t, arch)
			env := append(os.Environ(), foreign+"="+program, foreignArch+"="+arch)
			passOnceMore(t, env, tests...)
			unitsPass(t, arch)
			alone.Lock() // as ownNamespaces does, which does not know of other processes
			defer alone.Unlock()
			passOnceMore(t, env, "TestLeftoversOfBuildsGoStepByStep", "TestAnotherPlatformKnowsItself")
		})
	}
}

// scrubFor builds scrub for another platform, as build-scrub.sh does.
func scrubFor(t *testing.T, arch string) string {
	t.Helper()
	program := filepath.Join(open(t), "scrub")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", program, "../../cmd/scrub")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build scrub for %s: %v\n%s", arch, err, out)
	}
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if p := platforms[arch]; f.Machine != p.machine || f.Data != p.order {
		t.Fatalf("what was built for %s is for %v, %v", arch, f.Machine, f.Data)
	}
	return program
}

// unitsPass has tests of packages pass as programs of the other platform: those that know the bytes of kernels and engines, those of what is opened
// and what is not, and the one of a call that this platform lacks. None of them executes itself.
func unitsPass(t *testing.T, arch string) {
	t.Helper()
	runs := [][]string{{"./rtnetlink", "./procfs", "./mountinfo", "./dockerapi"}, {"-run=^(TestOpen.*|TestRules|TestMountsByTheirPaths)$", "./erase"}}
	if arch != "arm64" {
		runs = append(runs, []string{"-run=^TestTheOneCallOfOldKernelsRemovesIPC$", "."})
	}
	for _, args := range runs {
		emulator := "-exec=unshare --mount --ipc " + platforms[arch].emulator
		c := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"test", "-count=1", "-short", "-trimpath", emulator}, args)...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "ERASE_TEST_WORLD=root on this kernel")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", c.Args, err, out)
		}
	}
}

// passOnceMore runs tests once more with an environment; each has to pass. They see no processes but their own: what is of the same user or agent
// in another such run has to end there as well, and only there.
func passOnceMore(t *testing.T, env []string, names ...string) {
	t.Helper()
	c := exec.CommandContext(
		t.Context(), "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", program,
		"-test.v", "-test.timeout=5m", "-test.run=^("+strings.Join(names, "|")+")$",
	)
	c.Env = env
	out, err := c.CombinedOutput()
	for _, name := range names {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s does not pass", name)
		}
	}
	if err != nil || t.Failed() {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAnotherPlatformKnowsItself is that scrub knows what it runs on, and that what runs really is scrub for another platform.
func TestAnotherPlatformKnowsItself(t *testing.T) {
	arch := os.Getenv(foreignArch)
	if arch == "" {
		t.Skip("TestOtherPlatformsDoTheSame runs it")
	}
	c := emulate(t, "inspect")
	c.Stderr = os.Stderr
	out, err := c.Output()
	var told struct{ Machine scrub.Machine }
	if err := errors.Join(err, json.Unmarshal(out, &told)); err != nil {
		t.Fatal(err)
	}
	here := scrub.ThisMachine(nil)
	if m := told.Machine; m.Arch != arch || m.System != "linux" || m.Memory.Bytes != here.Memory.Bytes || m.BootID != here.BootID || m.Kernel != here.Kernel {
		t.Errorf("machine %+v; want %s, and all else as %+v", m, arch, here)
	}
	if d := told.Machine.Disks; len(d) != 1 || d[0].Bytes != here.Disks[0].Bytes || d[0].Inodes != here.Disks[0].Inodes {
		t.Errorf("disks %+v; want %+v", d, here.Disks)
	}
	tmpfile := filepath.Join(open(t), "placed")
	goal := spec.Goal{Place: &spec.Place{Recipe: "r", Files: []spec.Placed{{Path: tmpfile, State: spec.PlaceFile, Content: "${arch}", Template: true}}, All: []string{tmpfile}}}
	if plan := goalReached(t, goal, scrub.Here{}, scrub.Plan); plan.State != spec.Planned || len(plan.Differs) != 1 {
		t.Errorf("a plan: %+v", plan)
	}
}

// sorts are what a tree can have in it, on disk. Its links lead to the guard and nowhere else: a scrub that followed one would remove that, as root.
const sorts = `
for d in "$O" "$X"; do
	mkdir -p "$d/sorts/shut/in" "$d/sorts/-rf *"
	touch "$d/sorts/shut/in/f" "$d/sorts/fixed" "$d/sorts/growing" "$d/sorts/new
line" "$d/sorts/ " "$d/sorts/$(printf '\377\001')" "$d/sorts/-rf */$(printf %0255d 0)"
	ln -s "$X/sorts" "$d/sorts/others"; ln "$X/sorts/fixed" "$d/sorts/hard" 2>/dev/null || :
	mkfifo "$d/sorts/pipe"; mknod "$d/sorts/null" c 1 3
	chmod 0 "$d/sorts/shut/in" "$d/sorts/shut"
done
ln "$X/sorts/growing" "$O/sorts/linked"
chattr +i "$O/sorts/fixed"; chattr +a "$O/sorts/growing"; chattr +i "$O/sorts/shut/in"
`

// levels is how deep a chain of directories goes: what no path of the kernel leads to.
const levels = 3000

// chain makes one, with a file at its end.
func chain(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	for range levels {
		var next int
		if err = errors.Join(err, unix.Mkdirat(fd, "d", 0o755)); err == nil {
			next, err = unix.Openat(fd, "d", unix.O_PATH|unix.O_DIRECTORY, 0)
			_ = unix.Close(fd)
			fd = next
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	defer unix.Close(fd)
	if err := unix.Mknodat(fd, "end", unix.S_IFREG|0o644, 0); err != nil {
		t.Fatal(err)
	}
}

// TestLeftoversOfBuildsGoStepByStep is a whole cleaning by processes of scrub: each step is planned, which changes nothing, then done, and is verified.
func TestLeftoversOfBuildsGoStepByStep(t *testing.T) {
	if !ownNamespaces(t, syscall.CLONE_NEWIPC, syscall.CLONE_NEWNET) {
		return
	}
	tmpfs(t, "/run") // where names of network namespaces are
	p := newPlot(t)
	t.Cleanup(func() { _ = exec.Command("chattr", "-R", "-i", "-a", p.owned).Run() })
	p.run(t, litter)
	p.run(t, sorts)
	p.run(t, "ip link add ci-br type bridge; ip link add guard type bridge")
	ours, guardIPC := makeIPC(t, "games", "m"), makeIPC(t, "news", "m")
	guard, content, start := scene(t, p.other), picture(t, p.other), scene(t, p.owned)
	if len(start) < 50 {
		t.Fatalf("planted %d things", len(start))
	}
	steps, links := slices.Concat(cleaning(p), []spec.Spec{ipcOfGames}), []string{"ci-br", "guard"}
	if !platforms[os.Getenv(foreignArch)].noLinks {
		steps, links = append(steps, networkOfCI), []string{"guard"}
	}
	for _, s := range steps {
		if r := reach(t, s, scrub.Here{}, scrub.Plan); r.State != spec.Planned || len(r.Found) == 0 || len(r.Problems) > 0 {
			t.Errorf("%s, planned: %+v", s.Kind(), r)
		}
	}
	if diff := cmp.Diff(start, scene(t, p.owned)); diff != "" {
		t.Errorf("the plans have changed something (-before +after):\n%s", diff)
	}
	chain(t, p.owned) // of which no other means than scrub's could tell what is there
	for _, s := range steps {
		if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Changed {
			t.Errorf("%s: %+v", s.Kind(), r)
		}
		if r := reach(t, s, scrub.Here{}, scrub.Judge); r.State != spec.Unchanged {
			t.Errorf("%s, verified: %+v", s.Kind(), r)
		}
	}
	room := spec.Spec{Goal: spec.Goal{Disk: &spec.Disk{Paths: []string{p.owned}, BytesFree: 1 << 60}}}
	if r := reach(t, room, scrub.Here{}, scrub.Judge); r.State != spec.Unmet {
		t.Errorf("a disk larger than any: %+v", r)
	}
	if left := scene(t, p.owned); len(left) > 0 {
		t.Errorf("left %q", slices.Sorted(maps.Keys(left)))
	}
	if there := ipcThere(t); !slices.Equal(there, []string{guardIPC}) {
		t.Errorf("shared memory: %q; want only %q, and %q gone", there, guardIPC, ours)
	}
	if there := linksThere(t); !slices.Equal(there, links) {
		t.Errorf("links: %q; want %q", there, links)
	}
	if diff := cmp.Diff(guard, scene(t, p.other)) + cmp.Diff(content, picture(t, p.other)); diff != "" {
		t.Errorf("what is not owned has changed (-before +after):\n%s", diff)
	}
}
