// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Wrap returns the text of a recipe that runs a script as its one step and has room on the root file system judged
// afterwards. File is the script's path as seen from the recipe's directory, with slashes.
func Wrap(file string, script []byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, wrapping, strings.ReplaceAll(path.Base(file), "\n", " "), nameAfter(file), file)
	if needsBash(script) {
		b.WriteString("    interpreter: bash # it has no #! line, and only bash understands it\n")
	}
	b.WriteString(proof)
	return []byte(b.String())
}

// wrapping is a recipe up to where the step may need an interpreter. Its name stands in quotes: true.sh and 007.sh are names of files too.
const wrapping = `# Made from %s. One step runs all of it as before, with a limit and a report. What follows is how to go
# on: give what the script does to goals (docs/recipes.md), one kind at a time, and take it out of the script.
version: 1
name: %q
# What on a machine belongs to CI. Goals touch nothing else; the script is not bound by it.
# owns:
#   paths: [/var/lib/ci]
#   users: [ci]
clean:
  # - name: nothing of earlier builds runs
  #   processes: {}
  - name: the script
    file: %q
    timeout: 30m
`

const proof = `# An agent that nothing proves is never called clean: this is the least, and the place for more.
verify:
  - name: room for a build
    run: |
      free=$(df -Pk / | awk 'NR == 2 { print $4 }')
      echo "$free kB free"
      test "$free" -gt 2000000
`

// nameAfter makes a recipe's name of a file's: what no name may have becomes a dash.
func nameAfter(file string) string {
	base := strings.ToLower(strings.TrimSuffix(path.Base(file), path.Ext(file)))
	name := strings.Trim(strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			return r
		}
		return '-'
	}, base), "._-")
	if name == "" {
		return "script"
	}
	return name[:min(len(name), 63)]
}

// needsBash reports whether a script without a #! line is one that sh does not understand.
func needsBash(script []byte) bool {
	if bytes.HasPrefix(script, []byte("#!")) {
		return false
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(script), "")
	if err != nil {
		return false // the check of the recipe says what is wrong
	}
	_, err = syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(bytes.NewReader(script), "")
	return err != nil || len(bashisms(file)) > 0
}
