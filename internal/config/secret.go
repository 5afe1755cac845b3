// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	maxSecret     = 64 << 10         // bytes, of the secret and of what a program prints
	secretTimeout = 10 * time.Second // for a program that prints a secret
)

// Secret refers to a secret; it never holds it. The forms are
//
//	env:NAME         the environment variable NAME of the daemon
//	file:/path       the content of a file
//	credential:NAME  a credential that systemd passes (LoadCredential=, SetCredentialEncrypted=)
//	exec:/path args  what a program prints; arguments are separated by blanks, there is no shell and no quoting
//
// One line break at the end is not part of the secret.
type Secret struct {
	scheme, name string
}

var secretSchemes = []string{"env", "file", "credential", "exec"}

var errPlainSecret = errors.New("want a reference to the secret, never the secret itself: " +
	"env:NAME, file:/path, credential:NAME or exec:/path arguments")

// UnmarshalText reads a reference. Its errors never repeat the text, which may be a secret by mistake.
func (s *Secret) UnmarshalText(text []byte) error {
	scheme, name, ok := strings.Cut(string(text), ":")
	if !ok || !slices.Contains(secretSchemes, scheme) {
		return errPlainSecret
	}
	parsed := Secret{scheme: scheme, name: strings.TrimSpace(name)}
	if err := parsed.validate(); err != nil {
		return err
	}
	*s = parsed
	return nil
}

func (s Secret) validate() error {
	switch {
	case s.name == "":
		return fmt.Errorf("%s: needs something after it", s.scheme)
	case s.scheme == "env" && strings.ContainsAny(s.name, "= \t\n"):
		return errors.New("env: needs the name of an environment variable")
	case s.scheme == "file" && !filepath.IsAbs(s.name):
		return errors.New("file: needs an absolute path")
	case s.scheme == "credential" && filepath.Base(s.name) != s.name:
		return errors.New("credential: needs the name of a credential")
	case s.scheme == "exec" && !filepath.IsAbs(strings.Fields(s.name)[0]):
		return errors.New("exec: needs the absolute path of a program")
	}
	return nil
}

// IsZero reports whether nothing is referred to.
func (s Secret) IsZero() bool { return s == Secret{} }

// Equal reports whether s and o are the same reference.
func (s Secret) Equal(o Secret) bool { return s == o }

// Runs reports whether a program tells the secret.
func (s Secret) Runs() bool { return s.scheme == "exec" }

// String returns the reference.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return s.scheme + ":" + s.name
}

// MarshalText returns the reference.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Read returns the secret as it is now. It reads at most 64 KiB and gives a program 10 seconds. Errors name the
// reference, never what was read. An empty secret is an error, because it would be sent as no secret at all.
func (s Secret) Read(ctx context.Context) (string, error) {
	if s.IsZero() {
		return "", errors.New("read secret: none is configured")
	}
	data, err := s.read(ctx)
	if err != nil {
		return "", fmt.Errorf("read secret %s: %w", s, err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("read secret %s: it is empty", s)
	}
	return value, nil
}

func (s Secret) read(ctx context.Context) ([]byte, error) {
	switch s.scheme {
	case "env":
		value, ok := os.LookupEnv(s.name)
		if !ok {
			return nil, errors.New("the variable is not set")
		}
		return []byte(value), nil
	case "exec":
		return runForSecret(ctx, strings.Fields(s.name))
	default:
		path, err := s.path()
		if err != nil {
			return nil, err
		}
		return readSecretFile(path)
	}
}

// path returns the file that s refers to; it is empty for other references.
func (s Secret) path() (string, error) {
	switch s.scheme {
	case "file":
		return s.name, nil
	case "credential":
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", errors.New("systemd passes no credentials to this process")
		}
		return filepath.Join(dir, s.name), nil
	}
	return "", nil
}

func readSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSecret {
		return nil, errSecretTooLong
	}
	return data, nil
}

var errSecretTooLong = fmt.Errorf("longer than %d bytes", maxSecret)

// runForSecret leaves out what the program wrote to standard error: programs like to repeat their input there.
func runForSecret(ctx context.Context, argv []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out boundedBuffer
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second // a grandchild may keep the pipe open
	killGroup(cmd)
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the program was stopped: %w", ctx.Err())
	case out.overflow:
		return nil, errSecretTooLong
	case err != nil:
		return nil, err
	}
	return out.data, nil
}

// boundedBuffer refuses to grow over the size of a secret.
type boundedBuffer struct {
	data     []byte
	overflow bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > maxSecret {
		b.overflow = true
		return 0, errSecretTooLong
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

// exposure explains why the file that s refers to is not safe; it is empty if it is, or cannot be judged now.
func (s Secret) exposure() string {
	path, err := s.path()
	if err != nil || path == "" {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Sprintf("%s may be used by everybody on this machine (mode %04o): chmod o= it", path, mode)
	}
	return ""
}
