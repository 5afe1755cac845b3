// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func recorded(t *testing.T, name string) State {
	t.Helper()
	log, err := os.ReadFile(filepath.Join("testdata", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(log, "abc123")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

func distributions() []string {
	return []string{"alpine-3.20", "arch", "debian-12", "opensuse-15.6", "rocky-8"}
}

func TestStatesOfDistributions(t *testing.T) {
	t.Parallel()
	for _, name := range distributions() {
		got, err := json.MarshalIndent(recorded(t, name), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
			t.Errorf("%s (-want +got; -update writes it):\n%s", name, diff)
		}
	}
}

func TestAStateIsTheSameAsItself(t *testing.T) {
	t.Parallel()
	for _, name := range distributions() {
		if got := Compare(recorded(t, name), recorded(t, name), Ignore{}); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// swapped is what Compare must tell the other way round.
func swapped(all []Difference) []Difference {
	var out []Difference
	for _, d := range all {
		d.Before, d.After = d.After, d.Before
		switch d.Change {
		case Added:
			d.Change = Removed
		case Removed:
			d.Change = Added
		case Changed, Unseen:
		}
		out = append(out, d)
	}
	return out
}

func TestCompareIsTheSameBothWays(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a, b := some(random), some(random)
		ignore := Ignore{Files: []string{"*3"}, EphemeralPorts: random.IntN(3) * 20000}
		there, back := Compare(a, b, ignore), Compare(b, a, ignore)
		if diff := cmp.Diff(there, swapped(back)); diff != "" {
			t.Fatalf("%+v and %+v:\n%s", a, b, diff)
		}
		if got := Compare(a, a, ignore); len(got) > 0 {
			t.Fatalf("%+v differs from itself: %v", a, got)
		}
		if !slices.ContainsFunc(there, func(d Difference) bool { return d.String() == "" || strings.ContainsAny(d.String(), "\n\x1b") }) {
			continue
		}
		t.Fatalf("unreadable: %q", there)
	}
}

// some is a small state at random.
func some(random *rand.Rand) State {
	items := map[name]string{}
	for range random.IntN(12) {
		keys := []string{"/a", "/b3", "tcp 0.0.0.0:80", "tcp [::]:40000", "x\ny", "\x1b[0m"}
		items[name{kinds[random.IntN(len(kinds))], keys[random.IntN(len(keys))]}] = []string{"1", "2", "\x1b"}[random.IntN(3)]
	}
	s := State{Unread: map[Kind]string{}}
	for n, v := range items {
		s.Items = append(s.Items, Item{n.kind, n.key, v})
	}
	slices.SortFunc(s.Items, order)
	if random.IntN(3) == 0 {
		s.Unread[kinds[random.IntN(len(kinds))]] = "closed"
	}
	return s
}

func TestDifferencesAreReadable(t *testing.T) {
	t.Parallel()
	a, b := recorded(t, "debian-12"), recorded(t, "debian-12")
	b.Items = slices.DeleteFunc(b.Items, func(i Item) bool { return i.Key == "adduser" })
	for i := range b.Items {
		if b.Items[i].Key == "/srv/ci/a b" {
			b.Items[i].Value = "file 0600 of 0:0, 3 bytes"
		}
	}
	b.Items = append(b.Items, Item{Port, "tcp 0.0.0.0:5037", "of user 1001"}, Item{Port, "tcp 127.0.0.1:45000", "of user 0"})
	b.Unread[Service] = "no bus"
	var got []string
	for _, d := range Compare(a, b, DefaultIgnore()) {
		got = append(got, d.String())
	}
	want := []string{
		"package adduser is missing: 3.134 ii",
		"services were not compared: no bus",
		"file /srv/ci/a b differs: file 0600 of 0:0, 3 bytes, not file 0644 of 1001:1001, 12 bytes, sha256 a948904f2f0f479b",
		"port tcp 0.0.0.0:5037 is there: of user 1001",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseIsStrict(t *testing.T) {
	t.Parallel()
	const good = "noise\nPITCREW-STATE-BEGIN abc\nfact\tos=x\nPITCREW-STATE-END abc 1\n"
	if s, err := Parse([]byte(good), "abc"); err != nil || len(s.Items) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	for name, log := range map[string]string{
		"empty":               "",
		"cut short":           strings.TrimSuffix(good, "PITCREW-STATE-END abc 1\n"),
		"another's nonce":     strings.ReplaceAll(good, "abc", "abd"),
		"twice":               good + good,
		"a line too few":      strings.Replace(good, "fact\tos=x\n", "", 1),
		"a line too many":     strings.Replace(good, "fact", "fact\ty=z\nfact", 1),
		"a forged sentinel":   "PITCREW-STATE-END abc 0\n" + good,
		"no section":          strings.Replace(good, "fact\t", "fact ", 1),
		"an unknown section":  strings.Replace(good, "fact\t", "shadow\t", 1),
		"no fact":             strings.Replace(good, "os=x", "os", 1),
		"a relative path":     strings.Replace(good, "fact\tos=x", "file\t81a4 0:0 0 a", 1),
		"an unknown type":     strings.Replace(good, "fact\tos=x", "file\t01a4 0:0 0 /a", 1),
		"a broken name":       strings.Replace(good, "fact\tos=x", "file\t81a4 0:0 0 %2f%7", 1),
		"a password":          strings.Replace(good, "fact\tos=x", "passwd\troot:$6$x:0:0::/:/bin/sh", 1),
		"an address too long": strings.Replace(good, "fact\tos=x", "tcp\t0: 000000000000:0016 0:0 0A 0 0 0 0", 1),
		"a digest too short":  strings.Replace(good, "fact\tos=x", "digest\tabcd  /a", 1),
	} {
		if s, err := Parse([]byte(log), "abc"); err == nil {
			t.Errorf("%s: %+v, want an error", name, s)
		}
	}
	if _, err := Parse([]byte(good), ""); err == nil {
		t.Error("a state without a nonce is believed")
	}
}

func TestTooManyAreNotCompared(t *testing.T) {
	t.Parallel()
	lines := strings.Repeat("file\t81a4 0:0 0 /a\n", maxLines)
	s, err := Parse([]byte("PITCREW-STATE-BEGIN abc\n"+lines+"PITCREW-STATE-END abc 20000\n"), "abc")
	if err != nil || !strings.Contains(s.Unread[File], "too many") {
		t.Errorf("%v, %v", s.Unread, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"alpine-3.20", "arch", "debian-12", "opensuse-15.6", "rocky-8"} {
		log, err := os.ReadFile(filepath.Join("testdata", name+".log"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(log)
	}
	for section := range maps.Keys(sections) {
		f.Add([]byte("PITCREW-STATE-BEGIN abc123\n" + section + "\t%\nPITCREW-STATE-END abc123 1\n"))
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		s, err := Parse(log, "abc123")
		if err != nil {
			return
		}
		if got := Compare(s, s, DefaultIgnore()); len(got) > 0 {
			t.Errorf("differs from itself: %v", got)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
		if !slices.IsSortedFunc(s.Items, order) {
			t.Error("not in order")
		}
	})
}

func TestIgnoreComesFromYAML(t *testing.T) {
	t.Parallel()
	text := "files: [\"/srv/ci/cache/*\"]\nports: [\"tcp 127.0.0.1:*\"]\nephemeralPorts: 49152\n"
	var got Ignore
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	want := Ignore{Files: []string{"/srv/ci/cache/*"}, Ports: []string{"tcp 127.0.0.1:*"}, EphemeralPorts: 49152}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if sum := DefaultIgnore().And(got); sum.EphemeralPorts != 32768 || !sum.has(File, "/srv/ci/cache/a/b") || !sum.has(File, "/tmp/hsperfdata_ci/12") {
		t.Errorf("%+v", sum)
	}
}

func TestIgnoreIsValidated(t *testing.T) {
	t.Parallel()
	if err := DefaultIgnore().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	bad := Ignore{
		Packages: []string{"*"}, Users: []string{" "}, Files: []string{"srv/ci", strings.Repeat("/", maxPattern+1)},
		Facts: make([]string, maxPatterns+1), EphemeralPorts: 70000,
	}
	err := bad.Validate()
	for _, want := range []string{"nothing would be compared", "pattern 1 is empty", "begin it with /", "more than 1000 characters", "at most 1000", "ephemeralPorts is 70000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want it to say %q", err, want)
		}
	}
}

func TestPatternsMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"/tmp/*", "/tmp/a/b", true},
		{"/tmp/*", "/tmpa", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"", "", true},
		{"?", "ü", true},
		{"a*b*c", "axxbxxc", true},
		{"a*b*c", "axxbxx", false},
		{"[ab]", "a", false},
		{"*a", "bca", true},
		{"**", "x", true},
		{strings.Repeat("a*", 200) + "b", strings.Repeat("a", 5000), false},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("%.20q of %.20q: %v", c.text, c.pattern, got)
		}
	}
}

// A name that shows itself as another one is shown as it is written.
func TestNamesThatDeceiveAreQuoted(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"/srv/ci/gpj\u202eexe.x": `file "/srv/ci/gpj\u202eexe.x" is missing: file 0644`,
		"/srv/ci/\u200bx":        `file "/srv/ci/\u200bx" is missing: file 0644`,
		"/srv/ci/Übung 日本":       "file /srv/ci/Übung 日本 is missing: file 0644",
	} {
		if got := (Difference{Kind: File, Key: key, Change: Removed, Before: "file 0644"}).String(); got != want {
			t.Errorf("%q is shown as %s, want %s", key, got, want)
		}
	}
}
