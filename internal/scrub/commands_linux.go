// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// commands judges the programs that builds find in the PATH. It makes nothing.
type commands struct{ goal spec.Commands }

func newCommands(s spec.Spec, _ Here) Step { return commands{*s.Commands} }

// Look finds programs that are missing or too old.
func (c commands) Look(ctx context.Context) ([]Deviation, error) {
	var found []Deviation
	for _, p := range c.goal.Programs {
		if what := lacks(ctx, p); what != "" {
			found = append(found, lack("program", p.Name, what))
		}
		if ctx.Err() != nil {
			return nil, stopped(ctx)
		}
	}
	return found, nil
}

func (c commands) Mend(_ context.Context, found []Deviation) []error {
	return make([]error, len(found))
}

func lacks(ctx context.Context, p spec.Program) string {
	at, err := exec.LookPath(p.Name)
	if err != nil {
		return "it is not in the PATH " + os.Getenv("PATH")
	}
	if p.AtLeast == "" {
		return ""
	}
	if who, ok := othersCanChange(at); ok && os.Geteuid() == 0 {
		return fmt.Sprintf("its version is not asked for as root, since user %d can change %s; leave atLeast out", who, at)
	}
	args := p.Ask
	if len(args) == 0 {
		args = []string{"--version"}
	}
	text, err := tool{path: at}.run(ctx, args...)
	if err != nil {
		return err.Error()
	}
	version, ok := versionIn(string(text))
	switch {
	case !ok:
		return fmt.Sprintf("it does not tell its version: %s", oneLine(text))
	case older(version, p.AtLeast):
		return fmt.Sprintf("it is of version %s; %s is wanted", version, p.AtLeast)
	}
	return ""
}

// othersCanChange reports whether another user than root can change what a path leads to, and who.
func othersCanChange(p string) (uid uint32, ok bool) {
	p, err := filepath.EvalSymlinks(p)
	if err != nil {
		return 0, true
	}
	for {
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil || st.Uid != 0 || st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0 && st.Mode&unix.S_ISVTX == 0 {
			return st.Uid, true
		}
		if p == "/" {
			return 0, false
		}
		p = filepath.Dir(p)
	}
}

// versionIn returns the first number with a dot in text.
func versionIn(text string) (string, bool) {
	other := func(r rune) bool { return r != '.' && (r < '0' || r > '9') }
	for _, word := range strings.FieldsFunc(text, other) {
		if word = strings.Trim(word, "."); strings.Contains(word, ".") {
			return word, true
		}
	}
	return "", false
}

// older reports whether version a comes before b, part by part.
func older(a, b string) bool {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		return cmp.Compare(m, n)
	}) < 0
}
