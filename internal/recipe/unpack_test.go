// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// toolbox returns a directory with the commands that every way of unpacking needs and those given, as NAME or as
// NAME=PATH; a PATH that begins with "#!" is the text of a script.
func toolbox(t *testing.T, tools ...string) string {
	t.Helper()
	bin := t.TempDir()
	for _, tool := range append([]string{"cat", "chmod", "rm", "sh=" + need(t, "dash", "dash"), "sha256sum"}, tools...) {
		name, path, given := strings.Cut(tool, "=")
		at := filepath.Join(bin, name)
		_ = os.Remove(at) // what is given goes before what is always there
		if strings.HasPrefix(path, "#!") {
			if err := os.WriteFile(at, []byte(path), 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !given {
			path = need(t, name, name)
		}
		if err := os.Symlink(need(t, path, name), at); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// inShell runs a shell text where there are no commands but those in bin, and returns what it prints.
func inShell(t *testing.T, bin, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "sh"), file)
	cmd.Env = []string{"PATH=" + bin, "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestScrubIsUnpackedByWhateverIsThere(t *testing.T) {
	t.Parallel()
	program := []byte("#!/bin/sh\n: any program\n")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(program) // memory takes it
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	const liar = "#!/bin/sh\necho something else\n"
	for name, c := range map[string]struct {
		tools []string
		want  string
	}{
		"gzip":                   {[]string{"gzip", "perl"}, "by_gzip"},
		"busybox":                {[]string{"busybox", "perl"}, "by_busybox"},
		"python3":                {[]string{"python3=/usr/bin/python3"}, "by_python3"},
		"python":                 {[]string{"python=/usr/bin/python3"}, "by_python"},
		"perl":                   {[]string{"perl"}, "by_perl"},
		"a gzip that is damaged": {[]string{"gzip=" + liar, "busybox=" + liar, "perl"}, "by_perl"},
		"nothing":                {nil, "scrub cannot be unpacked here: neither gzip nor busybox, python or perl does it, or it was damaged on its way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			work := t.TempDir()
			if err := os.Mkdir(filepath.Join(work, "lib"), 0o700); err != nil {
				t.Fatal(err)
			}
			err := errors.Join(os.WriteFile(filepath.Join(work, "lib/scrub.gz"), packed.Bytes(), 0o600), os.WriteFile(filepath.Join(work, "scrub"), nil, 0o700))
			if err != nil {
				t.Fatal(err)
			}
			got := inShell(t, toolbox(t, append(c.tools, "env")...), digestPart+scrubPart+fmt.Sprintf(`
work=%s scrub_sum=%s scrub_cksum=none cache=no uid=1 machine=
find_hasher && find_scrub
echo "${scrub_why:-$unpacker}"
`, ShellQuote(work), sha256Hex(program)))
			if got != c.want {
				t.Errorf("%q; want %q", got, c.want)
			}
			if unpacked, _ := os.ReadFile(filepath.Join(work, "scrub")); len(c.tools) > 0 && !bytes.Equal(unpacked, program) {
				t.Errorf("unpacked %q; want %q", unpacked, program)
			}
		})
	}
}

func TestBase64IsDecodedByWhateverIsThere(t *testing.T) {
	t.Parallel()
	content := make([]byte, 1000)
	for i := range content {
		content[i] = byte(i * 7 / 3)
	}
	// The base64 of macOS before 13 knows -D only.
	const ofMac = "#!/bin/sh\n[ \"$1\" = -D ] && exec /usr/bin/base64 -d\nexit 64\n"
	for name, c := range map[string]struct {
		tools []string
		want  string
	}{
		"base64":                   {[]string{"base64", "awk"}, "by_base64"},
		"base64 of macOS":          {[]string{"base64=" + ofMac, "awk"}, "by_base64_D"},
		"openssl":                  {[]string{"openssl", "awk"}, "by_openssl"},
		"perl":                     {[]string{"perl", "awk"}, "by_perl"},
		"python3":                  {[]string{"python3=/usr/bin/python3"}, "by_python3"},
		"python":                   {[]string{"python=/usr/bin/python3"}, "by_python"},
		"uudecode":                 {[]string{"uudecode=" + "#!/bin/sh\nexec busybox uudecode \"$@\"\n", "busybox"}, "by_uudecode"},
		"awk":                      {[]string{"awk"}, "by_awk"},
		"a base64 that is damaged": {[]string{"base64=#!/bin/sh\necho no\n", "awk"}, "by_awk"},
		"nothing":                  {nil, "pitcrew: no way to decode base64 here"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			work := t.TempDir()
			got := inShell(t, toolbox(t, c.tools...), bindPart+bootStage+fmt.Sprintf(`
pitcrew_work=%s
(pitcrew_decoder=
put64 blob <<'PITCREW_FILE'
%sPITCREW_FILE
echo "$pitcrew_decoder") || exit 0
`, ShellQuote(work), wrapped(content)))
			if got != c.want {
				t.Errorf("%q; want %q", got, c.want)
			}
			if decoded, _ := os.ReadFile(filepath.Join(work, "blob")); len(c.tools) > 0 && !bytes.Equal(decoded, content) {
				t.Errorf("decoded %s; want %s", base64.StdEncoding.EncodeToString(decoded), base64.StdEncoding.EncodeToString(content))
			}
		})
	}
}

func TestDigestsAreComputedByWhateverIsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tools []string
		want  string
	}{
		"sha256sum": {[]string{"cksum"}, "sha256sum"},
		"shasum":    {[]string{"shasum", "cksum", "sha256sum=#!/bin/sh\nexit 1\n"}, "shasum -a 256"},
		"openssl":   {[]string{"openssl", "cksum", "sha256sum=#!/bin/sh\nexit 1\n"}, "openssl dgst -sha256 -r"},
		"cksum":     {[]string{"cksum", "sha256sum=#!/bin/sh\nexit 1\n"}, "cksum"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := inShell(t, toolbox(t, c.tools...), digestPart+"find_hasher; digested \"$(printf abc | $hasher)\"; echo $hasher $sum\n")
			sum := sha256Hex([]byte("abc"))
			if c.want == "cksum" {
				sum = cksum([]byte("abc"))
			}
			if got != c.want+" "+sum {
				t.Errorf("%q; want %s %s", got, c.want, sum)
			}
		})
	}
}
