// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestNumbersAndPatternsThatMeanNothingAreRefused(t *testing.T) {
	t.Parallel()
	for goal, want := range map[string]string{
		`"files":{"paths":["/srv/ci"],"older":-5}`:                  "files.older: -5: want 0 or more",
		`"files":{"paths":["/srv/ci"],"older":9223372036854775807}`: "files.older: 9223372036854775807: want at most",
		`"files":{"paths":["/srv/ci"],"keep":["["]}`:                `files.keep: "[": syntax error in pattern`,
		`"processes":{"grace":-1}`:                                  "processes.grace: -1",
		`"containers":{"images":{"older":-1}}`:                      "containers.images.older: -1",
		`"containers":{"keep":["a["]}`:                              "containers.keep",
		`"vms":{"all":true,"keep":["["]}`:                           "vms.keep",
		`"logs":{"keep":["["]}`:                                     "logs.keep",
		`"users":{"keep":["["]}`:                                    "users.keep",
		`"disk":{"paths":["/"],"bytesFree":-1}`:                     "disk.bytesFree: -1",
		`"packages":{"size":-1}`:                                    "packages.size: -1",
		`"files":{"paths":["/srv/ci"],"older":86400,"keep":["a*"]}`: "",
	} {
		_, err := spec.Read(strings.NewReader(`{"version":1,"name":"x","owned":{"paths":["/srv/ci"]},` + goal + `}`))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want %q", goal, err, want)
		}
	}
}
