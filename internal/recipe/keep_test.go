// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestAProgramComesBackAsItWasPacked(t *testing.T) {
	t.Parallel()
	r, err := Parse("test.yaml", []byte(`
version: 1
name: test
clean:
  - name: sweep
    run: "true"
verify:
  - name: swept
    run: "true"
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	// As of one with a goal, for which this test would need a scrub.
	p.Carried = []Carried{{Platform: "linux/amd64", Size: 5, Packed: 3, Digest: "d"}}
	p.goals = []spec.Spec{{Name: "leftovers", Goal: spec.Goal{Files: &spec.Files{Paths: []string{"/var/tmp/ci"}}}}}
	body, err := p.Pack()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unpack(body)
	if err != nil {
		t.Fatal(err)
	}
	p.Notes = nil
	if !reflect.DeepEqual(p, got) {
		t.Error("it is another program")
	}
	spoilt := bytes.Replace(body, []byte(`"Digest":"`+p.Digest[:4]), []byte(`"Digest":"xxxx`), 1)
	if _, err := Unpack(spoilt); err == nil || !strings.Contains(err.Error(), "it was changed where it is stored") {
		t.Errorf("a program whose text is another: %v", err)
	}
}
