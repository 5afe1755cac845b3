// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/container"
	"github.com/pitcrew-ci/pitcrew/internal/container/podmantest"
)

// groovy is where Debian's package of that name puts the whole of it, in the version that Jenkins carries.
const groovy = "/usr/share/java/groovy-all.jar"

// compile compiles all Java below a directory.
func compile(t *testing.T, from, classpath string) string {
	t.Helper()
	podmantest.Needs(t, "java", "javac")
	classes := t.TempDir()
	args := []string{"-cp", classpath, "-d", classes}
	err := filepath.WalkDir(from, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".java") {
			args = append(args, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "javac", args...).CombinedOutput(); err != nil {
		t.Fatalf("compile %s: %v\n%s", from, err, out)
	}
	return classes
}

// seeded runs the init scripts of a home in a Jenkins of stubs.
func seeded(t *testing.T, classes, home, starts string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "java", "-cp", groovy+":"+classes, "Harness", home, starts, "pitcrew").CombinedOutput()
	return string(out), err
}

// planted is a home with the seed of a controller; a root URL of "" is left out.
func planted(t *testing.T, token container.Token, url string) string {
	t.Helper()
	home := t.TempDir()
	for name, text := range container.SeedFiles(container.Seed{User: "pitcrew", Token: token}, url) {
		file := filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

func TestSeedScript(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("mostly runs another program")
	}
	if _, err := os.Stat(groovy); err != nil {
		podmantest.Needs(t, "groovy") // of the same package
	}
	classes := compile(t, "testdata/stubs", groovy)
	token := container.NewToken()
	want := []string{
		"pitcrew: this controller is pitcrew's alone", "realm without signup=true", "anonymous=false", "crumbs=true", "executors=0 port=-1",
		"url=http://10.0.0.5:8080/", "users=1 saved=true", "tokens=[" + string(token) + "]",
	}
	check := func(t *testing.T, out string, err error) {
		t.Helper()
		if err != nil || strings.Contains(out, "WARNING") {
			t.Errorf("%v\n%s", err, out)
		}
		for _, line := range want {
			if !strings.Contains(out, line) {
				t.Errorf("want %q in\n%s", line, out)
			}
		}
		if _, password, _ := strings.Cut(out, "password="); len(strings.TrimSpace(password)) != 48 {
			t.Errorf("the password is %q", password)
		}
	}
	t.Run("first start, and a restart", func(t *testing.T) {
		t.Parallel()
		home := planted(t, token, "http://10.0.0.5:8080")
		out, err := seeded(t, classes, home, "2")
		check(t, out, err)
		if _, err := os.Stat(filepath.Join(home, "pitcrew-seed/token")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file with the token: %v; want it gone", err)
		}
	})
	t.Run("the URL comes later", func(t *testing.T) {
		t.Parallel()
		home := planted(t, token, "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { // when the token was read
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for _, err := os.Stat(filepath.Join(home, "pitcrew-seed/token")); err == nil; _, err = os.Stat(filepath.Join(home, "pitcrew-seed/token")) {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
			os.WriteFile(filepath.Join(home, "pitcrew-seed/url"), []byte("http://10.0.0.5:8080/\n"), 0o600)
		}()
		out, err := seeded(t, classes, home, "1")
		check(t, out, err)
	})
	for name, spoil := range map[string]func(home string) error{
		"no token": func(home string) error { return os.Remove(filepath.Join(home, "pitcrew-seed/token")) },
		"bad token": func(home string) error {
			return os.WriteFile(filepath.Join(home, "pitcrew-seed/token"), []byte("x"), 0o600)
		},
		"no user": func(home string) error { return os.Remove(filepath.Join(home, "pitcrew-seed/user")) },
	} {
		t.Run(name+" ends Jenkins", func(t *testing.T) {
			t.Parallel()
			home := planted(t, token, "http://10.0.0.5:8080")
			if err := spoil(home); err != nil {
				t.Fatal(err)
			}
			out, err := seeded(t, classes, home, "1")
			var code *exec.ExitError
			if !errors.As(err, &code) || code.ExitCode() != 70 || !strings.Contains(out, "the seed was not planted") || strings.Contains(out, string(token)) {
				t.Errorf("it ended with %v\n%s", err, out)
			}
		})
	}
}
