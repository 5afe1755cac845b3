// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shownYAML are the blocks of YAML that a page has, with what they are indented by.
var shownYAML = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")

// Nobody should learn the language from a recipe that is refused.
func TestRecipesInTheDocsAreFreeOfProblems(t *testing.T) {
	t.Parallel()
	anything := func(path string) (File, error) { return File{Path: path, Content: []byte("#!/bin/sh\nexit 0\n")}, nil }
	checked := 0
	for _, page := range []string{"README.md", "docs/recipes.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shownYAML.FindAllStringSubmatch(string(text), -1) {
			whole := completed(strings.ReplaceAll("\n"+block[2], "\n"+block[1], "\n")[1:])
			if strings.Contains(whole, "include:") {
				continue // of files that are nowhere
			}
			checked++
			if _, err := Parse(page, []byte(whole), anything); err != nil {
				t.Errorf("%s: %v\n%s", page, err, whole)
			}
		}
	}
	if checked < 7 {
		t.Errorf("only %d recipes were found", checked)
	}
}

// completed is a recipe of which a page shows but a part.
func completed(part string) string {
	if strings.HasPrefix(strings.TrimSpace(part), "- ") {
		part = "owns: {paths: [/var/lib/mock]}\nclean:\n" + part
	}
	if !strings.Contains(part, "version:") {
		part = "version: 1\nname: part\n" + part
	}
	if !regexp.MustCompile(`(?m)^verify:`).MatchString(part) {
		part += "verify:\n  - {name: proof, run: 'true'}\n"
	}
	return part
}
