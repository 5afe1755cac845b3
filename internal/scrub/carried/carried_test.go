// SPDX-License-Identifier: Apache-2.0

package carried_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
)

var machines = map[string]elf.Machine{
	"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64, "linux/ppc64le": elf.EM_PPC64, "linux/s390x": elf.EM_S390,
}

func TestEachPlatformIsCarriedAsAStaticProgram(t *testing.T) {
	t.Parallel()
	const mostBytes, mostPacked = 5 << 20, 2 << 20 // what a program may cost each cleanup
	for _, platform := range carried.Platforms() {
		b, err := carried.For(platform)
		if err != nil {
			t.Errorf("%v (scripts/build-scrub.sh makes it)", err)
			continue
		}
		program, err := b.Unpack()
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(program); b.Digest != hex.EncodeToString(sum[:]) || b.Size != int64(len(program)) {
			t.Errorf("%s: digest %s, %d bytes; that is not what it holds", platform, b.Digest, b.Size)
		}
		if len(program) > mostBytes || len(b.Packed) > mostPacked {
			t.Errorf("%s: %d bytes, %d packed; want at most %d and %d", platform, len(program), len(b.Packed), mostBytes, mostPacked)
		}
		f, err := elf.NewFile(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machines[platform] {
			t.Errorf("%s is for %s", platform, f.Machine)
		}
		if libraries, err := f.ImportedLibraries(); err == nil && len(libraries) > 0 {
			t.Errorf("%s wants %q", platform, libraries)
		}
	}
}

// TestTheSameSourceGivesTheSameBytes: what is carried was built at another time, to another place.
func TestTheSameSourceGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("links a program")
	}
	script, err := os.ReadFile("../../../scripts/build-scrub.sh")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`go build (.*) -ldflags='(.*)' -o`).FindSubmatch(script)
	if flags == nil {
		t.Fatal("scripts/build-scrub.sh does not tell how it builds")
	}
	again := filepath.Join(t.TempDir(), "again")
	args := append([]string{"build"}, strings.Fields(string(flags[1]))...)
	build := exec.CommandContext(t.Context(), "go", append(args, "-ldflags="+string(flags[2]), "-o", again, "../../../cmd/scrub")...)
	build.Env = append(build.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := carried.For("linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(again)
	if sum := sha256.Sum256(text); err != nil || hex.EncodeToString(sum[:]) != b.Digest {
		t.Errorf("%v, or other bytes than those that are carried (scripts/build-scrub.sh renews these)", err)
	}
}

func TestAnUnknownPlatformIsRefusedWithThoseThatExist(t *testing.T) {
	t.Parallel()
	if _, err := carried.For("plan9/386"); err == nil || !strings.Contains(err.Error(), "linux/s390x") {
		t.Errorf("error %v; want one that lists the platforms", err)
	}
}
