// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

func mustSecret(tb testing.TB, text string) config.Secret {
	tb.Helper()
	var s config.Secret
	if err := s.UnmarshalText([]byte(text)); err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return s
}

func writeFile(tb testing.TB, name, content string, mode os.FileMode) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	// A process that another test starts meanwhile would hold the file open for writing until it executes, and nobody could execute this one.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		tb.Fatal(err)
	}
	return path
}

// Not parallel: it sets the environment.
func TestSecretsAreReadWhenNeeded(t *testing.T) {
	path := writeFile(t, "token", "from-file\n", 0o600)
	crlf := writeFile(t, "crlf", "two\nlines\r\n", 0o600)
	t.Setenv("PITCREW_TEST_SECRET", "from-env")
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path))
	for reference, want := range map[string]string{
		"env:PITCREW_TEST_SECRET":         "from-env",
		"file:" + path:                    "from-file",
		"file:" + crlf:                    "two\nlines",
		"credential:token":                "from-file",
		"exec:/bin/cat " + path:           "from-file",
		"exec:/bin/echo several  words":   "several words",
		"exec:/bin/echo $HOME && ls;true": "$HOME && ls;true", // there is no shell
	} {
		s := mustSecret(t, reference)
		got, err := s.Read(t.Context())
		if err != nil || got != want {
			t.Errorf("%s reads %q, error %v; want %q", reference, got, err, want)
		}
		if s.String() != reference {
			t.Errorf("%s prints as %s", reference, s)
		}
	}
	s := mustSecret(t, "file:"+path)
	if err := os.WriteFile(path, []byte("rotated"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read(t.Context()); got != "rotated" {
		t.Errorf("after rotation: %q, error %v", got, err)
	}
}

// Not parallel: it sets the environment.
func TestSecretsThatCannotBeRead(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	t.Setenv("PITCREW_TEST_EMPTY", "")
	long := writeFile(t, "long", strings.Repeat("x", 100<<10), 0o600)
	for reference, want := range map[string]string{
		"env:PITCREW_TEST_UNSET":           "not set",
		"env:PITCREW_TEST_EMPTY":           "is empty",
		"file:/does/not/exist":             "no such file",
		"file:" + long:                     "longer than 65536 bytes",
		"credential:x":                     "no credentials",
		"exec:/bin/false":                  "exit status 1",
		"exec:/does/not/exist":             "no such file",
		"exec:/bin/cat " + long:            "longer than 65536 bytes",
		"exec:/bin/true":                   "is empty",
		"exec:/bin/ls /does/not/exist/xyz": "exit status 2",
	} {
		_, err := mustSecret(t, reference).Read(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), reference) {
			t.Errorf("%s: error %v, want it to say %q", reference, err, want)
		}
	}
	if _, err := (config.Secret{}).Read(t.Context()); err == nil {
		t.Error("no reference reads as a secret")
	}
}

func TestAProgramForASecretEndsWithItsContext(t *testing.T) {
	t.Parallel()
	// The program's child holds the pipe open; it must not be waited for.
	script := writeFile(t, "slow", "#!/bin/sh\nsleep 600 & sleep 600\n", 0o700)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := mustSecret(t, "exec:"+script).Read(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	t.Parallel()
	const canary = "s3cr3t-canary"
	for _, text := range []string{
		"", canary, "vault:" + canary, "env:", "env:A=" + canary, "env:A B", "file:" + canary, "credential:../" + canary,
		"credential:a/" + canary, "credential:..", "exec:", "exec: ", "exec:" + canary, "ENV:" + canary, "env", ":",
	} {
		var s config.Secret
		err := s.UnmarshalText([]byte(text))
		if err == nil && text != "credential:.." {
			t.Errorf("%q is taken for the reference %s", text, s)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%q: the error repeats it: %v", text, err)
		}
	}
}

func TestAPlainSecretIsRefusedWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	const canary = "s3cr3t-canary"
	files := map[string]string{
		"token":               strings.Replace(small, "env:TOKEN", canary, 1),
		"quoted":              strings.Replace(small, "env:TOKEN", "'"+canary+"'", 1),
		"misspelt":            strings.Replace(small, "token: env:TOKEN", "tokn: "+canary, 1),
		"misspelt section":    strings.Replace(small, "token: env:TOKEN", "login: {token: "+canary+"}", 1),
		"twice":               strings.Replace(small, "env:TOKEN", "env:A\n  token: "+canary, 1),
		"block":               strings.Replace(small, "env:TOKEN", "|\n    "+canary, 1),
		"carriage returns":    strings.ReplaceAll(strings.Replace(small, "env:TOKEN", canary, 1), "\n", "\r"),
		"block, broken":       strings.Replace(small, "env:TOKEN", "|\n    "+canary+"\n   x\n  {", 1),
		"folded, broken":      strings.Replace(small, "env:TOKEN", "\n    "+canary+": x: y", 1),
		"quoted lines":        strings.Replace(small, "env:TOKEN", "'a\n    "+canary+"' x", 1),
		"list":                strings.Replace(small, "env:TOKEN", "["+canary+"]", 1),
		"mapping":             strings.Replace(small, "env:TOKEN", "{a: "+canary+"}", 1),
		"flow":                "version: 1\ncontrollers: [{name: a, url: 7, token: " + canary + ", polll: 5s}]",
		"flow, broken":        "version: 1\ncontrollers: [{name: a, token: " + canary + ", poll: }}]",
		"no blank":            strings.Replace(small, "token: env:TOKEN", "token:"+canary, 1),
		"next line is broken": strings.Replace(small, "env:TOKEN", canary+"\n     url: x", 1),
		"same line is broken": strings.Replace(small, "env:TOKEN", "'"+canary, 1),
		"url":                 strings.Replace(small, "https://", "https://user:"+canary+"@", 1),
		"bad url":             strings.Replace(small, "https://jenkins", "https://user:"+canary+"@%%", 1),
		"webhook":             small + "notifications: [{name: a, webhook: {url: 'hooks.example.org/" + canary + "'}}]",
		"webhook user":        small + "notifications: [{name: a, webhook: {url: 'https://u:" + canary + "@example.org/'}}]",
		"webhook secret":      small + "notifications: [{name: a, exec: [/x], webhook: {url: 'https://x.org', secret: " + canary + "}}]",
		"ssh key":             strings.Replace(small, "recipe: el\n", "recipe: el\n  ssh: {user: a, knownHosts: k, key: "+canary+"}\n", 1),
	}
	for name, text := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("p.yaml", []byte(text))
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error repeats the secret:\n%v", err)
			}
		})
	}
}

func TestAFileThatEverybodyMayReadIsWarnedOf(t *testing.T) {
	t.Parallel()
	open := writeFile(t, "open", "x", 0o644)
	closed := writeFile(t, "closed", "x", 0o640)
	text := strings.Replace(small, "env:TOKEN", "file:"+open, 1) +
		"notifications: [{name: a, webhook: {url: 'file:" + open + "', secret: 'file:" + closed + "'}}]\n"
	c, err := config.Load(writeFile(t, "pitcrew.yaml", text, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, w := range c.Warnings() {
		paths = append(paths, w.Path)
	}
	if got := strings.Join(paths, " "); got != "controllers[0].token notifications[0].webhook.url" {
		t.Errorf("warnings about %s: %v", got, c.Warnings())
	}
}
