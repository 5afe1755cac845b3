// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestKVMIsJudgedOnRecordedMachines(t *testing.T) {
	t.Parallel()
	const intel, amd, power = "sys/module/kvm_intel/parameters/nested", "sys/module/kvm_amd/parameters/nested", "sys/module/kvm_hv/parameters/nested"
	for name, c := range map[string]struct {
		files   map[string]string
		goal    spec.KVM
		version int
		err     error
		says    string // "" if all is well
	}{
		"all there":             {files: map[string]string{"dev/kvm": ""}, version: 12},
		"nested, Intel":         {files: map[string]string{"dev/kvm": "", intel: "Y\n"}, goal: spec.KVM{Nested: true}, version: 12},
		"nested, AMD":           {files: map[string]string{"dev/kvm": "", amd: "1\n"}, goal: spec.KVM{Nested: true}, version: 12},
		"nested, POWER":         {files: map[string]string{"dev/kvm": "", power: "Y\n"}, goal: spec.KVM{Nested: true}, version: 12},
		"no device":             {says: "/dev/kvm: it is not there: the modules"},
		"another version":       {files: map[string]string{"dev/kvm": ""}, version: 11, says: "/dev/kvm: it speaks version 11; want 12"},
		"no KVM":                {files: map[string]string{"dev/kvm": ""}, err: errors.New("inappropriate"), says: "/dev/kvm: what is there is no KVM: inappropriate"},
		"not nested":            {files: map[string]string{"dev/kvm": "", intel: "N\n"}, goal: spec.KVM{Nested: true}, version: 12, says: `nested virtualisation is off ("N")`},
		"not nested, not asked": {files: map[string]string{"dev/kvm": "", amd: "0\n"}, version: 12},
		"nobody knows":          {files: map[string]string{"dev/kvm": ""}, goal: spec.KVM{Nested: true}, version: 12, says: "no module of KVM is loaded that tells of it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for file, text := range c.files {
				plant(t, root, file)
				if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			step := scrub.NewKVMOf(c.goal, root, func(int) (int, error) { return c.version, c.err })
			r, err := scrub.Reach(t.Context(), spec.KindKVM, step, scrub.Judge)
			if err != nil || (r.State == spec.Unchanged) != (c.says == "") || !strings.Contains(said(r), c.says) {
				t.Errorf("%+v, %v; want %q", r, err, c.says)
			}
		})
	}
}

// TestWhatIsNoKVMIsFoundOutByTheKernel asks a file what only the device knows.
func TestWhatIsNoKVMIsFoundOutByTheKernel(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	plant(t, root, "dev/kvm")
	r, err := scrub.Reach(t.Context(), spec.KindKVM, scrub.NewKVMOf(spec.KVM{}, root, nil), scrub.Judge)
	if err != nil || r.State != spec.Unmet || !strings.Contains(said(r), "no KVM: inappropriate ioctl") {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return // nothing on this machine can stand in for a real one
	}
	if r := goalReached(t, spec.Goal{KVM: &spec.KVM{}}, scrub.Here{}, scrub.Judge); r.State != spec.Unchanged {
		t.Errorf("the device of this machine: %+v", r)
	}
}

// TestTheDeviceIsOpenedWithTheRightsOfTheUserThatBuilds runs as root, for a user who came by sudo.
func TestTheDeviceIsOpenedWithTheRightsOfTheUserThatBuilds(t *testing.T) {
	asRoot(t)
	const group = 4242
	root := open(t)
	plant(t, root, "dev/kvm")
	device := filepath.Join(root, "dev/kvm")
	if err := errors.Join(os.Chmod(device, 0o660), os.Chown(device, 0, group)); err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	t.Setenv("SUDO_UID", "65534")
	t.Setenv("SUDO_USER", "builds")
	judge := func(groups string) spec.Result {
		script(t, tools, "id", `[ "$*" = "-G -- builds" ] && echo `+groups)
		step := scrub.NewKVMFor(scrub.Here{Tools: []string{tools}}, root, func(int) (int, error) { return 12, nil })
		r, err := scrub.Reach(t.Context(), spec.KindKVM, step, scrub.Judge)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := judge("65534 7 4242"); r.State != spec.Unchanged {
		t.Errorf("a member: %+v", r)
	}
	if r := judge("65534 7"); r.State != spec.Unmet || said(r) != "/dev/kvm: user 65534 cannot open it (it belongs to user 0 and group 4242, with mode 0660)" {
		t.Errorf("no member: %+v", r)
	}
	if text, err := os.ReadFile(device); err != nil || string(text) != "some text\n" {
		t.Errorf("afterwards we read %q, %v; want our own rights as before", text, err)
	}
}
