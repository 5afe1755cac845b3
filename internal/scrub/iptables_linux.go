// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// iptables removes chains that nft does not see: those of iptables-legacy, and all of them where there is no nft.
type iptables struct {
	owned spec.Ownership
	here  Here
	proc  procfs.Root
	known map[string]savedChain // what the last look found, by the identity of its deviation
	notes []string
}

// savedChain is a chain in a table of a program.
type savedChain struct {
	program     iptablesProgram
	table, name string
}

// iptablesProgram are the programs of one family of addresses.
type iptablesProgram struct {
	name          string
	save, restore tool
}

// Notes returns remarks on what the last look saw and leaves alone.
func (p *iptables) Notes() []string { return p.notes }

// Look finds the owned chains.
func (p *iptables) Look(ctx context.Context) ([]Deviation, error) {
	p.notes, p.known = nil, map[string]savedChain{}
	var found []Deviation
	for _, family := range []struct{ program, tables string }{{"iptables", "ip_tables_names"}, {"ip6tables", "ip6_tables_names"}} {
		legacy, err := p.legacyTables(family.tables)
		if errors.Is(err, fs.ErrPermission) {
			return found, errors.New("to list its rules needs root")
		}
		if err != nil {
			return found, err
		}
		program, kind, err := p.program(ctx, family.program)
		if err != nil {
			return found, err
		}
		if legacy && kind != "legacy" {
			p.notes = append(p.notes, "the kernel has tables of "+family.program+"-legacy, and no such program is here to list them")
		}
		_, noNFT := p.here.tool("nft")
		if useful := kind == "legacy" && legacy || kind == "nft" && noNFT != nil; !useful {
			continue
		}
		there, err := p.inTables(ctx, program)
		found = append(found, there...)
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// legacyTables reports whether the kernel has tables of the older sort. To ask a program would make them.
func (p *iptables) legacyTables(file string) (bool, error) {
	text, err := os.ReadFile(p.proc.Path(os.Getpid(), "net/"+file))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(text) > 0, err
}

// program finds the programs of a family: those of the older sort if they are here. kind is "" if there are none.
func (p *iptables) program(ctx context.Context, name string) (program iptablesProgram, kind string, err error) {
	for _, try := range []string{name + "-legacy", name} {
		main, absent := p.here.tool(try)
		if absent != nil {
			continue
		}
		version, err := main.run(ctx, "--version")
		if err != nil {
			return program, "", err
		}
		program.name = name
		if program.save, absent = p.here.tool(try + "-save"); absent != nil {
			continue
		}
		if program.restore, absent = p.here.tool(try + "-restore"); absent != nil {
			continue
		}
		if !strings.Contains(string(version), "nf_tables") {
			return program, "legacy", nil
		}
		return program, "nft", nil
	}
	return program, "", nil
}

// inTables finds the owned chains that a program lists.
func (p *iptables) inTables(ctx context.Context, program iptablesProgram) ([]Deviation, error) {
	text, err := program.save.run(ctx)
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, table := range parseSaved(string(text)) {
		for _, chain := range table.chains {
			if !p.owned.Named(chain) {
				continue
			}
			r := spec.Residue{Kind: "chain", ID: shown(program.name + " " + table.name + " " + chain), What: program.name}
			p.known[r.ID] = savedChain{program, table.name, chain}
			found = append(found, Deviation{Residue: r})
		}
	}
	return found, nil
}

// Mend removes the chains of each table at once, or each alone if something refuses that.
func (p *iptables) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	at := map[[2]string][]int{} // by program and table
	for i, d := range found {
		c := p.known[d.ID]
		where := [2]string{c.program.name, c.table}
		at[where] = append(at[where], i)
	}
	for _, indexes := range at {
		var names []string
		for _, i := range indexes {
			names = append(names, p.known[found[i].ID].name)
		}
		c := p.known[found[indexes[0]].ID]
		if c.program.remove(ctx, c.table, names) == nil {
			continue
		}
		for k, i := range indexes {
			errs[i] = c.program.remove(ctx, c.table, names[k:k+1])
		}
	}
	return errs
}

// remove removes chains of one table in one transaction. Others that work on the tables meanwhile are waited for.
func (p iptablesProgram) remove(ctx context.Context, table string, names []string) error {
	text, err := p.save.run(ctx)
	if err != nil {
		return err
	}
	for _, t := range parseSaved(string(text)) {
		order := t.removal(names)
		if t.name != table || order == "" {
			continue
		}
		_, err := p.restore.feed(ctx, []byte(order), "-w", "--noflush")
		if exit, failed := errors.AsType[Exit](err); failed && strings.Contains(exit.Said, "option") { // iptables before 1.6.2
			_, err = p.restore.feed(ctx, []byte(order), "--noflush")
		}
		return err
	}
	return nil
}
