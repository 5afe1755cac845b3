// SPDX-License-Identifier: Apache-2.0

package inbound

import (
	"archive/zip"
	"errors"
	"os"
	"testing"
)

// agentJar builds the agent. Without a JDK the test fails in CI and is skipped elsewhere.
func agentJar(t *testing.T) string {
	t.Helper()
	jar, err := Build(t.Context())
	if errors.Is(err, ErrNoJDK) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

func TestBuiltJarBeginsWithItsManifestAndIsReused(t *testing.T) {
	t.Parallel()
	jar := agentJar(t)
	archive, err := zip.OpenReader(jar)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if got := archive.File[0].Name; got != "META-INF/MANIFEST.MF" {
		t.Errorf("first entry is %s, want the manifest", got)
	}
	before, err := os.Stat(jar)
	if err != nil {
		t.Fatal(err)
	}
	if again := agentJar(t); again != jar {
		t.Errorf("second build made %s, want %s", again, jar)
	}
	after, err := os.Stat(jar)
	if err != nil {
		t.Fatal(err)
	}
	if !after.ModTime().Equal(before.ModTime()) {
		t.Error("second build compiled again")
	}
}

func TestBuildWithoutJDKSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := Build(t.Context()); !errors.Is(err, ErrNoJDK) {
		t.Errorf("error is %v, want ErrNoJDK", err)
	}
}
