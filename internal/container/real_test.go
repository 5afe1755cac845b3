// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"os"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/container"
)

// A Jenkins of the environment's: a war, or an image by its name in the engine or by an archive of it.
const (
	realWar   = "PITCREW_TEST_JENKINS_WAR"
	realImage = "PITCREW_TEST_JENKINS_IMAGE"
)

// realJenkins starts a real controller with the seed and checks that it is as the seed says.
func realJenkins(t *testing.T, s container.Spec) {
	t.Helper()
	c := start(t, s)
	serves(t, c)
	if strings.Contains(c.Log(), string(c.Token())) {
		t.Error("the token stands in the log")
	}
	answer := ask(t, c, "/api/json?tree=numExecutors,slaveAgentPort,useCrumbs,useSecurity,url")
	for _, want := range []string{`"useCrumbs":true`, `"useSecurity":true`, `"slaveAgentPort":-1`, `"url":"` + c.URL() + `/"`} {
		if !strings.Contains(answer, want) {
			t.Errorf("it answers %s; want %s", answer, want)
		}
	}
	if built := ask(t, c, "/computer/(built-in)/api/json?tree=numExecutors"); !strings.Contains(built, `"numExecutors":0`) {
		t.Errorf("the built-in node: %s", built)
	}
	stopped(t, c)
}

func TestRealWar(t *testing.T) {
	t.Parallel()
	war := os.Getenv(realWar)
	if war == "" {
		t.Skipf("%s is not set", realWar)
	}
	s := container.Spec{War: container.War{File: war, Dir: t.TempDir()}}
	realJenkins(t, s)
	if left, err := os.ReadDir(s.War.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestRealImage(t *testing.T) {
	t.Parallel()
	image := os.Getenv(realImage)
	if image == "" {
		t.Skipf("%s is not set", realImage)
	}
	s := container.Spec{Image: container.Image{Name: image}}
	if info, err := os.Stat(image); err == nil && !info.IsDir() {
		s.Image = container.Image{Archive: image}
	}
	realJenkins(t, s)
}
