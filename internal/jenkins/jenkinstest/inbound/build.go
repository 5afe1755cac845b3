// SPDX-License-Identifier: Apache-2.0

package inbound

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed agent/*.java
var sources embed.FS

// ErrNoJDK says that the agent cannot be compiled because there is no javac.
var ErrNoJDK = errors.New("javac not found: a JDK 17 or newer is needed (openjdk-17-jdk-headless), in JAVA_HOME or on PATH")

// Build returns the path of our agent.jar, compiled from the embedded source.
// The result is kept in the user's cache directory under the digest of its
// source, so that only the first call on a machine takes longer (about two
// seconds). Without a JDK the error is [ErrNoJDK].
func Build(ctx context.Context) (string, error) {
	names, digest, err := sourceDigest()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "pitcrew", "agent-"+digest[:16])
	jar := filepath.Join(dir, "agent.jar")
	if _, err := os.Stat(jar); err == nil {
		return jar, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make cache directory of the agent: %w", err)
	}
	if err := compile(ctx, dir, jar, names); err != nil {
		return "", err
	}
	return jar, nil
}

func sourceDigest() (names []string, digest string, err error) {
	names, err = fs.Glob(sources, "agent/*.java")
	if err != nil {
		return nil, "", err
	}
	sum := sha256.New()
	for _, name := range names {
		text, err := sources.ReadFile(name)
		if err != nil {
			return nil, "", err
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(text))
		sum.Write(text)
	}
	return names, hex.EncodeToString(sum.Sum(nil)), nil
}

// compile works in a directory of its own and renames the finished jar, so that
// parallel builds and killed ones leave either a whole jar or none.
func compile(ctx context.Context, dir, jar string, names []string) error {
	javac, err := findJavac()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return fmt.Errorf("compile agent: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.CopyFS(work, sources); err != nil {
		return fmt.Errorf("compile agent: %w", err)
	}
	classes := filepath.Join(work, "classes")
	args := []string{"--release", "17", "-d", classes}
	for _, name := range names {
		args = append(args, filepath.Join(work, name))
	}
	if out, err := exec.CommandContext(ctx, javac, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("compile agent: %w: %s", err, bytes.TrimSpace(out))
	}
	unfinished := filepath.Join(work, "agent.jar")
	if err := pack(unfinished, classes); err != nil {
		return fmt.Errorf("pack agent: %w", err)
	}
	return os.Rename(unfinished, jar)
}

func findJavac() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if javac := filepath.Join(home, "bin", "javac"); isFile(javac) {
			return javac, nil
		}
	}
	javac, err := exec.LookPath("javac")
	if err != nil {
		return "", ErrNoJDK
	}
	return javac, nil
}

func isFile(name string) bool {
	info, err := os.Stat(name) //nolint:gosec // the JDK that the developer named
	return err == nil && info.Mode().IsRegular()
}

// pack writes an executable jar. All its entries bear one fixed time, so that the
// same source gives the same file wherever it is built.
func pack(jar, classes string) error {
	var buf bytes.Buffer
	archive := zip.NewWriter(&buf)
	manifest := "Manifest-Version: 1.0\r\nMain-Class: pitcrew.agent.Main\r\n\r\n"
	if err := addEntry(archive, "META-INF/MANIFEST.MF", []byte(manifest)); err != nil {
		return err
	}
	files := os.DirFS(classes)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return addEntry(archive, name, data)
	})
	if err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return os.WriteFile(jar, buf.Bytes(), 0o600)
}

func addEntry(archive *zip.Writer, name string, data []byte) error {
	entry, err := archive.CreateHeader(&zip.FileHeader{
		Name: name, Method: zip.Deflate, Modified: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		return err
	}
	_, err = entry.Write(data)
	return err
}
