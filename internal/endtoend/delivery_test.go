// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

func TestAProgramThatIsTooLargeForItsJobComesByFileAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	payload := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(payload) // never fails
	s.write("payload", string(payload))
	s.steps = `  - name: carries
    carry: [payload]
    run: test "$(wc -c <payload)" -eq 2097152
`
	a := s.agent("", "CLEANABLE el7")
	s.put(a, "mess")
	s.serve()
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	if there(a, "mess") || s.cleanups(a) != 1 {
		t.Errorf("it was cleaned %d times", s.cleanups(a))
	}
	attempt := s.life(a).Attempts[0]
	config := controller.Get(s.ctx, s, testbed.JobPath(attempt.Job)+"/config.xml")
	if len(config) > 20_000 || !strings.Contains(config, "hudson.model.FileParameterDefinition") {
		t.Errorf("the job has %d bytes", len(config))
	}
	left, err := os.ReadDir(filepath.Join(a.Dir, "workspace", attempt.Job))
	if err != nil || len(left) > 0 {
		t.Errorf("in the workspace is left: %v, %v", left, err)
	}
}
