// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestAPlanEndsWithTheLimitsOfItsSteps asks an engine that takes the question and never answers.
func TestAPlanEndsWithTheLimitsOfItsSteps(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "engine")
	silent, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p := compiled(t, `version: 1
name: test
clean:
  - {name: hangs, timeout: 1s, containers: {all: true, sockets: [`+socket+`]}}
verify:
  - {name: proof, run: "true"}
`)
	var out strings.Builder
	if err := p.PlanHere(t.Context(), nil, Standard, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"run   clean: hangs (limit 1s, tries 1)\n      containers: unmet (", socket + " has not answered", ")\nrun   verify: proof (limit"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the plan is\n%s\nwant %q in it", out.String(), want)
		}
	}
}
