// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// TestNobodyCrowdsAReport: builds choose the names of files, of jobs in their environment, and how many things there are to remark on.
func TestNobodyCrowdsAReport(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	r := spec.Result{Kind: spec.KindProcesses, State: spec.Changed, Reason: long}
	for i := range spec.MaxFound {
		r.Found = append(r.Found, spec.Residue{Kind: "process", ID: fmt.Sprint(i), What: long, Culprit: &spec.Culprit{Job: long, Build: 7, By: "environment"}})
	}
	for i := range 1000 {
		r.Notes = append(r.Notes, fmt.Sprint(i, long))
	}
	line, err := r.Line()
	if err != nil {
		t.Fatal(err)
	}
	var got spec.Result
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	if len(line) > 64<<10 || len(got.Found) < spec.MaxFound/4 || len(got.Found)+got.More != spec.MaxFound || len(got.Notes) != spec.MaxNotes+1 {
		t.Fatalf("a line of %d bytes with %d found, %d more, and %d notes; want it to fit and to say the most", len(line), len(got.Found), got.More, len(got.Notes))
	}
	if c := got.Found[0].Culprit; c == nil || c.Build != 7 || len(r.Found[0].Culprit.Job) != len(long) {
		t.Errorf("culprit %+v, and the result itself was changed: %v", c, len(r.Found[0].Culprit.Job) != len(long))
	}
}
