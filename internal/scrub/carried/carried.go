// SPDX-License-Identifier: Apache-2.0

// Package carried holds the binaries of scrub that recipe programs take along to the machines of agents.
//
// scripts/build-scrub.sh makes them, one for each platform, and go:embed takes what is there when pitcrew is built. So a
// plain "go build" on a fresh checkout succeeds and carries none; whoever needs one then is told how to get it.
package carried

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// The directory always holds .gitignore, so that it can be embedded when it holds nothing else.
//
//go:embed all:binaries
var binaries embed.FS

// Platforms returns the platforms that scrub exists for in programs, written GOOS/GOARCH.
func Platforms() []string {
	return []string{"linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x"}
}

// Binary is scrub for one platform.
type Binary struct {
	// Packed is the executable, compressed by gzip.
	Packed []byte
	// Size is that of the executable in bytes, Digest its SHA-256 in hex.
	Size   int64
	Digest string
}

// ErrMissing says that this pitcrew was built without scrub for a platform.
var ErrMissing = errors.New("this pitcrew was built without scrub for it; build with \"make build\", which makes scrub first")

// unpacked remembers what is known of each binary: it cannot change.
var unpacked sync.Map

// For returns scrub for a platform; the error is ErrMissing if it is not carried.
func For(platform string) (Binary, error) {
	if !slices.Contains(Platforms(), platform) {
		return Binary{}, fmt.Errorf("platform %q: want one of %s", platform, strings.Join(Platforms(), ", "))
	}
	if known, ok := unpacked.Load(platform); ok {
		return known.(Binary), nil //nolint:forcetypeassert // nothing else is stored
	}
	packed, err := binaries.ReadFile("binaries/scrub-" + strings.ReplaceAll(platform, "/", "-") + ".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return Binary{}, fmt.Errorf("platform %s: %w", platform, ErrMissing)
	}
	if err != nil {
		return Binary{}, err
	}
	b, err := read(packed)
	if err != nil {
		return Binary{}, fmt.Errorf("scrub for %s is damaged in this pitcrew: %w", platform, err)
	}
	unpacked.Store(platform, b)
	return b, nil
}

// read learns what packed holds.
func read(packed []byte) (Binary, error) {
	program, err := Binary{Packed: packed}.Unpack()
	if err != nil {
		return Binary{}, err
	}
	sum := sha256.Sum256(program)
	return Binary{Packed: packed, Size: int64(len(program)), Digest: hex.EncodeToString(sum[:])}, nil
}

// Unpack returns the executable.
func (b Binary) Unpack() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b.Packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
