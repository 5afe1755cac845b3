// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// sysctl sets values of the kernel.
type sysctl struct {
	goal spec.Sysctl
	conf conf
}

func newSysctl(s spec.Spec, _ Here) Step {
	key := func(line string) string {
		name, _, ok := strings.Cut(line, " = ")
		if !ok {
			return ""
		}
		return name
	}
	return &sysctl{*s.Sysctl, conf{"/etc/sysctl.d/90-pitcrew.conf", key}}
}

// sysctlFile returns the file of a value; see sysctl(8) for how its name is spelt.
func sysctlFile(name string) string {
	if !strings.Contains(name, "/") {
		name = strings.ReplaceAll(name, ".", "/")
	}
	return "/proc/sys/" + name
}

// words is a value without the tabs that the kernel puts between its parts.
func words(value string) string { return strings.Join(strings.Fields(value), " ") }

// Look finds values that are others, now or after the next boot.
func (s *sysctl) Look(context.Context) ([]Deviation, error) {
	var found []Deviation
	var want []string
	for _, v := range s.goal.Values {
		want = append(want, v.Name+" = "+words(v.Value))
		d := Deviation{Residue: spec.Residue{Kind: "value", ID: v.Name}}
		text, err := os.ReadFile(sysctlFile(v.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.Stays = "this kernel has no such value; a module may be missing"
		case errors.Is(err, fs.ErrPermission):
			d.Stays = "it cannot be read without more rights"
		case err != nil:
			return nil, err
		case words(string(text)) == words(v.Value):
			continue
		default:
			d.What = fmt.Sprintf("it is %q, not %q", words(string(text)), words(v.Value))
		}
		found = append(found, d)
	}
	if !s.goal.Persist {
		return found, nil
	}
	lacks, err := s.conf.lacks(want)
	for _, line := range lacks {
		found = append(found, Deviation{Residue: spec.Residue{Kind: "line", ID: line, What: "it is not in " + s.conf.path}})
	}
	return found, err
}

// Mend writes the values.
func (s *sysctl) Mend(_ context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		if d.Kind == "line" {
			errs[i] = denied(s.conf.set([]string{d.ID}))
			continue
		}
		for _, v := range s.goal.Values {
			if v.Name == d.ID {
				errs[i] = denied(overwrite(sysctlFile(v.Name), v.Value))
			}
		}
	}
	return errs
}

// overwrite writes to a file that is there.
func overwrite(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Close())
}
