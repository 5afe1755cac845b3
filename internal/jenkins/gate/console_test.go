// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var labels = Labels{"cleanable", "dirty", "clean"}

// console sends a script to the script console of a Jenkins with a home directory.
func (j *controller) console(home, script string) string {
	j.Helper()
	said, _ := j.do(command{"do": "console", "home": home, "script": script}).(string)
	return said
}

// install has the gate installed by the console.
func (j *controller) install(home, version string, write bool) Installed {
	j.Helper()
	script, err := InstallScript(version, labels, write)
	if err != nil {
		j.Fatal(err)
	}
	in, err := ReadInstalled(j.console(home, script), version, labels)
	if err != nil {
		j.Fatal(err)
	}
	return in
}

func TestInstalledByTheConsoleItIsThereAtTheNextStart(t *testing.T) {
	j, home := boot(t), t.TempDir()
	j.on("a", "node", "labels", "cleanable")
	j.must("claim", "a", "attempt", 1, "job", "slot")
	file := filepath.Join(home, "init.groovy.d", FileName)
	if diff := cmp.Diff(Installed{File: file, Same: true}, j.install(home, "v1", true)); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	want, err := Script("v1", labels)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("what was written is not the gate: %v", err)
	}
	j.must("grant", "a", "attempt", 1) // what the copy of before held
	hook := func(want string) {
		t.Helper()
		if got := j.read(j.do(command{"do": "status"})).Hook; got != want {
			t.Errorf("hook %q, want %q", got, want)
		}
	}
	hook("console, and init script")

	if diff := cmp.Diff(Installed{File: file}, j.install(home, "v2", false)); diff != "" {
		t.Errorf("registered alone, beside an older file (-want +got):\n%s", diff)
	}
	hook("console")
	if diff := cmp.Diff(Installed{File: file, Same: true}, j.install(home, "v2", true)); diff != "" {
		t.Errorf("upgraded (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(home, "init.groovy.d", "gate.groovy"), []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	if in := j.install(home, "v2", true); len(in.Others) != 1 || filepath.Base(in.Others[0]) != "gate.groovy" {
		t.Errorf("another copy: %+v", in)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 2 {
		t.Errorf("left beside: %v, %v", entries, err)
	}
	if err := os.Remove(filepath.Join(home, "init.groovy.d", "gate.groovy")); err != nil {
		t.Fatal(err)
	}
	if got, want := j.do(command{"do": "start_from", "home": home}), "pitcrew gate v2: registered by the init script, as the first copy"; got != want {
		t.Errorf("the next start said %q, want %q", got, want)
	}
	hook("init script")
}

func TestRemovedItDoesNotComeBack(t *testing.T) {
	j, home := boot(t), t.TempDir()
	in := j.install(home, "v1", true)
	removed, err := ReadRemoved(j.console(home, RemoveScript()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Removed{File: in.File, Parts: 6}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	none := map[string]any{"QueueTaskDispatcher": 0.0, "QueueListener": 0.0, "ExecutorListener": 0.0, "ComputerListener": 0.0, "NodeListener": 0.0, "actions": 0.0}
	if diff := cmp.Diff(none, j.do(command{"do": "extensions"})); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if again, err := ReadRemoved(j.console(home, RemoveScript())); err != nil || again.Parts != 0 || again.File != "" {
		t.Errorf("removed again: %+v, %v", again, err)
	}
}

func TestAGateWhoseFileIsDeletedIsNotThereAtTheNextStart(t *testing.T) {
	j, home := boot(t), t.TempDir()
	head := func() Head { return Head{Hook: j.read(j.do(command{"do": "status"})).Hook} }
	in := j.install(home, "v1", true)
	if h := head(); !h.AtBoot() || h.SinceBoot() {
		t.Errorf("installed: %+v", h)
	}
	j.do(command{"do": "start_from", "home": home})
	if h := head(); !h.AtBoot() || !h.SinceBoot() {
		t.Errorf("started: %+v", h)
	}
	if err := os.Remove(in.File); err != nil {
		t.Fatal(err)
	}
	if h := head(); h.AtBoot() || !h.SinceBoot() {
		t.Errorf("its file is deleted: %+v", h)
	}
	in = j.install(home, "v1", true)
	if err := os.Remove(in.File); err != nil {
		t.Fatal(err)
	}
	if h := head(); h.AtBoot() {
		t.Errorf("installed, and its file is deleted: %+v", h)
	}
}

func TestPastedIntoTheConsoleItIsNoInitScript(t *testing.T) {
	j := boot(t)
	text, err := Script("v1", labels)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := j.console(t.TempDir(), text), "pitcrew gate v1: registered by the console, in the place of another copy"; !strings.Contains(got, want) {
		t.Errorf("said %q, want %q", got, want)
	}
	if got := j.read(j.do(command{"do": "status"})).Hook; got != "console" {
		t.Errorf("hook %q: it would be thought to be there at the next start", got)
	}
}

func TestAGateInTheFileBesideTheDirectoryIsSaid(t *testing.T) {
	j, home := boot(t), t.TempDir()
	text, err := Script("v0", labels)
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(home, "init.groovy") // which Jenkins runs as well, before the directory
	if err := os.WriteFile(beside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if in := j.install(home, "v1", true); !in.Same || !slices.Equal(in.Others, []string{beside}) {
		t.Errorf("installed: %+v", in)
	}
	if out, err := ReadRemoved(j.console(home, RemoveScript())); err != nil || !slices.Equal(out.Others, []string{beside}) {
		t.Errorf("removed: %+v, %v", out, err)
	}
	if err := os.WriteFile(beside, []byte("println 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if in := j.install(home, "v1", true); len(in.Others) != 0 {
		t.Errorf("another script: %+v", in)
	}
}

func TestAConsoleThatFailsIsNoInstallation(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"": "it does not say why",
		"org.codehaus.groovy.control.MultipleCompilationErrorsException: startup failed:\nX.groovy: 628: Invalid duplicate class\n": "startup failed: X.groovy: 628: Invalid duplicate class",
		"groovy.lang.MissingPropertyException: No such property: x\n\tat y\n":                                                       "MissingPropertyException",
		"pitcrew-gate: registered\n": "did not run the script that was sent",
	} {
		if in, err := ReadInstalled(answer, "v1", labels); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v", answer, in, err)
		}
		if out, err := ReadRemoved(answer); err == nil {
			t.Errorf("%q: %+v", answer, out)
		}
	}
}

func TestAHomeThatCannotBeWrittenIsSaid(t *testing.T) {
	j, home := boot(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "init.groovy.d"), nil, 0o600); err != nil { // in the place of the directory
		t.Fatal(err)
	}
	script, err := InstallScript("v1", labels, true)
	if err != nil {
		t.Fatal(err)
	}
	in, err := ReadInstalled(j.console(home, script), "v1", labels)
	if err != nil || in.File != "" || in.Same || !strings.Contains(in.Fault, "FileAlreadyExists") {
		t.Errorf("registered, and not written: %+v, %v", in, err)
	}
}
