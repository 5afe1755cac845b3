// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// runByFind returns the commands that a find runs for what it finds (find(1)).
func runByFind(c command) []command {
	var all []command
	for n := 0; n < len(c.args); n++ {
		if !slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir"}, literal(c.args[n])) {
			continue
		}
		words := c.args[n+1:]
		if end := slices.IndexFunc(words, func(w *syntax.Word) bool { return slices.Contains([]string{";", `\;`, "+"}, literal(w)) }); end >= 0 {
			words = words[:end]
		}
		all = append(all, commandOfWords(words))
		n += len(words)
	}
	return all
}

// strayingDeletion returns why a find removes more than it is meant to, "" if it does not, or removes nothing.
func strayingDeletion(c command) string {
	removes, recursive := c.argument("-delete"), false
	for _, run := range runByFind(c) {
		if run.does("rm", "unlink", "shred") {
			removes, recursive = true, recursive || run.recursive()
		}
	}
	if !removes {
		return ""
	}
	return straying(c, recursive)
}

// straying is strayingDeletion for a find of which all that it finds is removed, recursively or not.
func straying(c command, recursive bool) string {
	switch shallow := c.shallow() && !recursive; {
	case sharedPlace(c) && !named(c):
		return "others have things there, and neither age nor owner says that nobody uses them: sockets, private directories of services, files of a build that runs"
	case !shallow && !c.argument("-xdev", "-mount"):
		return "goes on into what is mounted below, such as a share or a bind mount of another tree: say -xdev"
	}
	return ""
}

// shallow reports whether a find enters no directory below where it starts.
func (c command) shallow() bool {
	n := slices.IndexFunc(c.args, func(w *syntax.Word) bool { return literal(w) == "-maxdepth" })
	return n >= 0 && n+1 < len(c.args) && slices.Contains([]string{"0", "1"}, literal(c.args[n+1]))
}

// sharedPlace reports whether a find starts at a directory in which everybody has things.
func sharedPlace(c command) bool {
	return slices.ContainsFunc(c.args, func(w *syntax.Word) bool {
		return slices.Contains([]string{"/tmp", "/var/tmp", "/dev/shm"}, strings.TrimRight(literal(w), "/*"))
	})
}

// named reports whether a find chooses by names.
func named(c command) bool {
	before := ""
	for _, w := range c.args {
		text := literal(w)
		is := slices.Contains([]string{"-name", "-iname", "-path", "-ipath", "-wholename", "-regex", "-iregex"}, text)
		if is && !slices.Contains([]string{"!", `\!`, "-not"}, before) {
			return true
		}
		before = text
	}
	return false
}
