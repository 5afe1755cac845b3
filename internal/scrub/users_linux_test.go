// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestRootByAnotherNameIsNobodysToOwn(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	dir := open(t)
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	accounts := filepath.Join(dir, "passwd")
	if err := os.WriteFile(accounts, append(text, "toor:x:0:0::/root:/bin/sh\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(accounts, "/etc/passwd", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	plant(t, dir, "shared/of-root")
	for _, goal := range []spec.Goal{{Processes: &spec.Processes{}}, {Files: &spec.Files{Shared: []string{filepath.Join(dir, "shared")}}}, {IPC: &spec.IPC{}}} {
		step, err := scrub.New(spec.Spec{Owned: spec.Ownership{Users: []string{"toor"}}, Goal: goal}, scrub.Here{})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := scrub.Reach(t.Context(), "", step, scrub.Plan) // the result has the error as its reason
		if r.State != spec.Unmet || len(r.Found) > 0 || !strings.Contains(r.Reason, "toor is root by another name") {
			t.Errorf("%+v; want a refusal", r)
		}
	}
}
