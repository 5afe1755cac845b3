// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// install installs packages. What repositories offer is looked for only after a first try has failed; a failure names
// the repositories and packages that the package manager blamed.
func (p *packages) install(ctx context.Context, m packager, names []string) error {
	var said string
	for try := 0; ; try++ {
		if try > 0 {
			text, _ := m.patient(ctx, p.here, m.name, m.refresh) // what it could not do is in the text
			said = text
		}
		text, err := m.patient(ctx, p.here, m.name, slices.Concat(m.install, names))
		if err == nil {
			return nil
		}
		guilt := blame(said + "\n" + text)
		switch _, failed := errors.AsType[Exit](err); {
		case ctx.Err() != nil || !failed:
			return guilt.wrap(err)
		case try == len(p.pauses), try > 0 && len(guilt.packages) > 0 && len(guilt.repositories) == 0:
			return Final{guilt.wrap(err)}
		}
		select {
		case <-time.After(p.pauses[try]):
		case <-ctx.Done():
			return guilt.wrap(err)
		}
	}
}

// guilt is what a package manager blames for a failure.
type guilt struct{ repositories, packages []string }

// wrap says it in front of err.
func (g guilt) wrap(err error) error {
	var parts []string
	if len(g.repositories) > 0 {
		parts = append(parts, "repository "+strings.Join(g.repositories, ", "))
	}
	if len(g.packages) > 0 {
		parts = append(parts, "package "+strings.Join(g.packages, ", "))
	}
	if len(parts) == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", strings.Join(parts, "; "), err)
}

// mark is a text before and after the name of what a package manager blames. After "" stands the end of the line.
type mark struct {
	before, after string
	repository    bool
}

// marks are from the messages of apt 1.0 to 2.6, dnf 4 and 5, yum 3.4, zypper 1.14 and apk 2.
var marks = []mark{
	{"E: Unable to locate package ", "", false},
	{"E: Package '", "' has no installation candidate", false},
	{"dpkg: error processing package ", " (", false},
	{"Failed to fetch ", " ", true},
	{"E: The repository '", "'", true},
	{"No match for argument: ", "", false},
	{"Failed to download metadata for repo '", "'", true},
	{"Errors during downloading metadata for repository '", "'", true},
	{"for repository \"", "\"", true},
	{"No package ", " available", false},
	{"Cannot find a valid baseurl for repo: ", "", true},
	{"failure: repodata/repomd.xml from ", ":", true},
	{"No provider of '", "' found", false},
	{"Package '", "' not found", false},
	{"Repository '", "' is invalid", true},
	{"Skipping repository '", "'", true},
	{"fetching ", ": ", true},
	{"WARNING: Ignoring ", ": ", true},
	{"WARNING: opening ", ": ", true},
}

// blame finds in what a package manager said which repositories and packages it blames.
func blame(text string) guilt {
	var g guilt
	add := func(list *[]string, name string) {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(*list, name) && len(*list) < 5 {
			*list = append(*list, shown(name))
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutSuffix(line, " (no such package):"); ok { // apk
			add(&g.packages, name)
		}
		if words := strings.Fields(line); len(words) > 2 && (words[0] == "Err" || strings.HasPrefix(words[0], "Err:")) { // apt: Err:1 URL suite file
			add(&g.repositories, words[1])
		}
		for _, m := range marks {
			_, rest, ok := strings.Cut(line, m.before)
			name, _, ended := strings.Cut(rest, m.after)
			if m.after == "" {
				name = rest
			}
			switch {
			case !ok, !ended:
			case m.repository:
				add(&g.repositories, name)
			default:
				add(&g.packages, name)
			}
		}
	}
	return g
}
