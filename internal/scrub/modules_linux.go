// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"os"
	"path"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// modules loads modules of the kernel.
type modules struct {
	goal spec.Modules
	here Here
	root string // of the machine; "" for ours
	conf conf
}

func newModules(s spec.Spec, here Here) Step { return modulesAt(*s.Modules, here, "") }

func modulesAt(goal spec.Modules, here Here, root string) *modules {
	key := func(line string) string {
		if strings.HasPrefix(line, "#") {
			return ""
		}
		return line
	}
	return &modules{goal, here, root, conf{root + "/etc/modules-load.d/pitcrew.conf", key}}
}

// module is a module's name as the kernel spells it.
func module(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Look finds modules that the kernel has neither loaded nor built in.
func (m *modules) Look(context.Context) ([]Deviation, error) {
	there, err := m.loaded()
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, name := range m.goal.Loaded {
		if !there[module(name)] {
			found = append(found, Deviation{Residue: spec.Residue{Kind: "module", ID: name, What: "it is not loaded"}})
		}
	}
	if !m.goal.Persist {
		return found, nil
	}
	lacks, err := m.conf.lacks(m.goal.Loaded)
	for _, line := range lacks {
		found = append(found, Deviation{Residue: spec.Residue{Kind: "line", ID: line, What: "it is not in " + m.conf.path}})
	}
	return found, err
}

// loaded are the modules that the kernel has, those built in included.
func (m *modules) loaded() (map[string]bool, error) {
	there := map[string]bool{}
	text, err := os.ReadFile(m.root + "/proc/modules")
	if err != nil && !os.IsNotExist(err) { // it is not there if the kernel can load none
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, " ")
		there[name] = true
	}
	release, err := os.ReadFile(m.root + "/proc/sys/kernel/osrelease")
	if err != nil {
		return nil, err
	}
	text, _ = os.ReadFile(path.Join(m.root, "/lib/modules", strings.TrimSpace(string(release)), "modules.builtin")) //nolint:gosec // the kernel says which; not on every machine
	for line := range strings.Lines(string(text)) {
		file, _, _ := strings.Cut(path.Base(strings.TrimSpace(line)), ".")
		there[module(file)] = true
	}
	return there, nil
}

// Mend loads them.
func (m *modules) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		if d.Kind == "line" {
			errs[i] = denied(m.conf.set([]string{d.ID}))
			continue
		}
		modprobe, err := m.here.tool("modprobe")
		if err == nil {
			_, err = modprobe.run(ctx, "--", d.ID)
		}
		errs[i] = err
	}
	return errs
}
