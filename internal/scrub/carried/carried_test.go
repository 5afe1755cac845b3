// SPDX-License-Identifier: Apache-2.0

package carried_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
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

func TestAnUnknownPlatformIsRefusedWithThoseThatExist(t *testing.T) {
	t.Parallel()
	if _, err := carried.For("plan9/386"); err == nil || !strings.Contains(err.Error(), "linux/s390x") {
		t.Errorf("error %v; want one that lists the platforms", err)
	}
}
