// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	factWord    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
	factVersion = regexp.MustCompile(`^[A-Za-z0-9._+-]+$`)
)

// Complete makes what the program would gather of what a person says of a machine, and refuses what no machine is. "centos=7.9" becomes
// the words centos, centos7.9 and centos7, and the version of centos; amd64 is x86_64; every kind of virtualisation is a vm.
func (f *Facts) Complete() error {
	if err := f.completeOS(); err != nil {
		return err
	}
	if f.Arch != "" && !factWord.MatchString(f.Arch) {
		return fmt.Errorf("arch %q: want a word, as uname -m names it", f.Arch)
	}
	f.Arch = architecture(f.Arch)
	for _, tool := range f.Tools {
		if !factWord.MatchString(tool) {
			return fmt.Errorf("tools %q: want names of commands, without a path", tool)
		}
	}
	switch metal := slices.Contains(f.Virtualisation, "none"); {
	case metal && len(f.Virtualisation) > 1:
		return fmt.Errorf("virtualisation %s: a machine is either none or a vm", strings.Join(f.Virtualisation, ", "))
	case !metal && len(f.Virtualisation) > 0 && !slices.Contains(f.Virtualisation, "vm"):
		f.Virtualisation = append(f.Virtualisation, "vm")
	}
	return nil
}

func (f *Facts) completeOS() error {
	var words []string
	for _, word := range f.OS {
		name, version, has := strings.Cut(word, "=")
		if !factWord.MatchString(name) || has && !factVersion.MatchString(version) {
			return fmt.Errorf("os %q: want a word for the system, perhaps with its version as in centos=7.9", word)
		}
		words = append(words, name)
		if !has {
			continue
		}
		if f.Versions == nil {
			f.Versions = map[string]string{}
		}
		f.Versions[name] = version
		major, _, _ := strings.Cut(version, ".")
		for _, more := range []string{name + version, name + major} {
			if !slices.Contains(words, more) {
				words = append(words, more)
			}
		}
	}
	f.OS = words
	return nil
}

// Misspelt tells of words of f that the recipe asks for nowhere, where it asks for one so like that it may be meant. What there is of
// systems, architectures and tools nobody can list.
func (r *Recipe) Misspelt(f Facts) []string {
	var os, arch, tools []string
	for i := range r.Steps {
		for _, w := range []*When{&r.Steps[i].When, r.Steps[i].Required, r.Steps[i].Forbidden} {
			if w != nil {
				os, arch, tools = append(os, w.OS...), append(arch, w.Arch...), append(tools, w.Tools...)
			}
		}
	}
	told := misspelt("os", systems(f.OS), systems(os))
	told = append(told, misspelt("arch", []string{f.Arch}, unmarked(arch))...)
	return append(told, misspelt("tools", f.Tools, unmarked(tools))...)
}

// shortestName is how long a name is that is taken for a misspelt one: of shorter ones each is like another.
const shortestName = 4

func misspelt(what string, said, asked []string) []string {
	var others, told []string
	for _, word := range asked {
		if !slices.Contains(said, word) {
			others = append(others, word)
		}
	}
	for _, word := range said {
		if len(word) < shortestName || slices.Contains(asked, word) {
			continue
		}
		if like := didYouMean(strings.ToLower(word), others); like != "" {
			told = append(told, fmt.Sprintf("%s %q%s", what, word, like))
		}
	}
	return told
}

// systems are the names in words for systems, without versions: centos7 is another than centos8, and no misspelt one.
func systems(words []string) []string {
	var names []string
	for _, word := range unmarked(words) {
		if c, compares := comparisonOf(word); compares {
			word = c.name
		}
		if name := strings.TrimRight(word, "0123456789."); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// unmarked are words without their marks of negation.
func unmarked(words []string) []string {
	wanted, refused := split(words)
	return append(wanted, refused...)
}
