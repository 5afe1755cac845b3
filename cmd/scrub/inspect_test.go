// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// scrubbed runs a command line.
func scrubbed(t *testing.T, in string, args ...string) (code int, out string, err error) {
	t.Helper()
	var b bytes.Buffer
	code, err = run(t.Context(), args, strings.NewReader(in), &b)
	return code, b.String(), err
}

func specText(t *testing.T, s spec.Spec) string {
	t.Helper()
	s.Version = spec.Version
	text, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestInspectTellsTheMachineAndWhatEachStepWouldFind(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "owned")
	left := filepath.Join(dir, "left over")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	owned := spec.Ownership{Paths: []string{dir}}
	in := specText(t, spec.Spec{Name: "workspaces", Owned: owned, Goal: spec.Goal{Files: &spec.Files{}}}) +
		specText(t, spec.Spec{Name: "room", Owned: owned, Goal: spec.Goal{Disk: &spec.Disk{Paths: []string{dir}, BytesFree: 1 << 60}}})
	code, out, err := scrubbed(t, in, "inspect", "-")
	if code != reached || err != nil {
		t.Fatalf("exit code %d, %v", code, err)
	}
	var got inspection
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if len(got.Steps) != 2 || got.Steps[0].Name != "workspaces" || got.Steps[1].Name != "room" {
		t.Fatalf("steps:\n%s", out)
	}
	if found := got.Steps[0].Found; got.Steps[0].State != spec.Planned || len(found) != 1 || found[0].ID != left || found[0].Kind != "directory" {
		t.Errorf("the first step found %+v", got.Steps[0])
	}
	if room := got.Steps[1]; len(room.Problems) != 1 || room.Problems[0].ID != dir {
		t.Errorf("the second step says %+v", room)
	}
	if m := got.Machine; m.System == "" || m.Arch == "" || len(m.Disks) < 2 {
		t.Errorf("machine %+v", m)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("inspecting removed what it found: %v", err)
	}
}

func TestInspectWithoutStepsTellsTheMachine(t *testing.T) {
	t.Parallel()
	code, out, err := scrubbed(t, "", "inspect")
	if code != reached || err != nil || !strings.Contains(out, `"steps": []`) || !strings.Contains(out, `"bytesFree"`) {
		t.Errorf("exit code %d, %v:\n%s", code, err, out)
	}
}

func TestInspectRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	good := specText(t, spec.Spec{Name: "x", Goal: spec.Goal{Disk: &spec.Disk{Paths: []string{"/"}, BytesFree: 1}}})
	for in, want := range map[string]string{
		good + "{":             "read spec 2: unexpected EOF",
		good + `{"version":9}`: "read spec 2: version 9",
		good + `{"version":1,"name":"x","owned":{}}`: "read spec 2: 0 goals",
		good + "]": "read spec 2: ",
		`{"version":1,"owned":{"paths":["/"]},"files":{}}`: "owned path",
		`{"unknown":1}`: "unknown field",
	} {
		if code, _, err := scrubbed(t, in, "inspect", "-"); code != wrong || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: exit code %d, %v; want %d and %q", in, code, err, wrong, want)
		}
	}
	for _, args := range [][]string{{"inspect", "a", "b"}, {"inspect", "--result", "d"}, {"inspect", "/does/not/exist"}} {
		if code, _, err := scrubbed(t, "", args...); code != wrong || err == nil {
			t.Errorf("%q: exit code %d, %v; want %d", args, code, err, wrong)
		}
	}
}
