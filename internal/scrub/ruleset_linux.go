// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// ruleset is what nft lists, as far as it matters here (libnftables-json(5)).
type ruleset struct {
	tables []nftTable
	chains []nftChain
	rules  []nftRule
	maps   []nftMap
}

type nftTable struct {
	Family string `json:"family"`
	Name   string `json:"name"`
}

type nftChain struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Name   string `json:"name"`
	Hook   string `json:"hook,omitempty"`
}

type nftRule struct {
	Family string            `json:"family"`
	Table  string            `json:"table"`
	Chain  string            `json:"chain"`
	Handle int64             `json:"handle"`
	Expr   []json.RawMessage `json:"expr,omitempty"`
}

// nftMap is a named map, whose elements can lead to chains.
type nftMap struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Name   string `json:"name"`
	Elem   any    `json:"elem"`
}

// parseRuleset reads what nft lists. What is no table, chain, rule or map is passed over.
func parseRuleset(text []byte) (ruleset, error) {
	var list struct {
		Objects []struct {
			Table *nftTable `json:"table"`
			Chain *nftChain `json:"chain"`
			Rule  *nftRule  `json:"rule"`
			Map   *nftMap   `json:"map"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return ruleset{}, fmt.Errorf("read what nft lists: %w", err)
	}
	var r ruleset
	for _, o := range list.Objects {
		switch {
		case o.Table != nil:
			r.tables = append(r.tables, *o.Table)
		case o.Chain != nil:
			r.chains = append(r.chains, *o.Chain)
		case o.Rule != nil:
			r.rules = append(r.rules, *o.Rule)
		case o.Map != nil:
			r.maps = append(r.maps, *o.Map)
		}
	}
	return r, nil
}

func (t nftTable) id() string { return shown(fmt.Sprintf("table %s %s", t.Family, t.Name)) }

func (c nftChain) id() string { return shown(fmt.Sprintf("chain %s %s %s", c.Family, c.Table, c.Name)) }

// builtIn are the chains that iptables has without anybody making them.
var builtIn = []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "BROUTING"}

// ownedChain reports whether a chain goes by its own name, and not with its table.
func ownedChain(owned spec.Ownership, c nftChain) bool {
	return owned.Named(c.Name) && !owned.Named(c.Table) && (c.Hook == "" || !slices.Contains(builtIn, c.Name))
}

func (r ruleset) deviations(owned spec.Ownership) []Deviation {
	var found []Deviation
	for _, c := range r.chains {
		if ownedChain(owned, c) {
			found = append(found, Deviation{spec.Residue{Kind: "chain", ID: c.id(), What: "nftables"}, r.mapped(owned, c)})
		}
	}
	for _, t := range r.tables {
		if owned.Named(t.Name) {
			found = append(found, Deviation{Residue: spec.Residue{Kind: "table", ID: t.id(), What: "nftables"}})
		}
	}
	return found
}

// mapped says what of others leads to a chain and is more than a jump to it; "" if nothing does.
func (r ruleset) mapped(owned spec.Ownership, c nftChain) string {
	for _, m := range r.maps {
		if m.Family == c.Family && m.Table == c.Table && leadsTo(m.Elem, c.Name) {
			return "the map " + shown(m.Name) + " of its table leads to it, and is not owned"
		}
	}
	for _, rule := range r.rules {
		if rule.in(c) && !owned.Named(rule.Chain) && !rule.jumps(c.Name) && rule.mentions(c.Name) {
			return fmt.Sprintf("a rule of the chain %s (handle %d) leads to it, and to others too", shown(rule.Chain), rule.Handle)
		}
	}
	return ""
}

// in reports whether a rule is in the table of a chain.
func (r nftRule) in(c nftChain) bool { return r.Family == c.Family && r.Table == c.Table }

// jumps reports whether a rule is one that jumps to a chain, whatever its conditions.
func (r nftRule) jumps(chain string) bool {
	return slices.ContainsFunc(r.Expr, func(text json.RawMessage) bool {
		var statement struct{ Jump, Goto *struct{ Target string } }
		if json.Unmarshal(text, &statement) != nil {
			return false
		}
		return statement.Jump != nil && statement.Jump.Target == chain || statement.Goto != nil && statement.Goto.Target == chain
	})
}

// mentions reports whether a rule leads to a chain in any way, as by a map in it.
func (r nftRule) mentions(chain string) bool {
	return slices.ContainsFunc(r.Expr, func(text json.RawMessage) bool {
		var expression any
		return json.Unmarshal(text, &expression) == nil && leadsTo(expression, chain)
	})
}

// leadsTo looks for a jump to a chain anywhere in a value of JSON.
func leadsTo(value any, chain string) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return leadsTo(e, chain) })
	case map[string]any:
		for name, e := range v {
			if target, ok := e.(map[string]any); ok && (name == "jump" || name == "goto") && target["target"] == chain {
				return true
			}
			if leadsTo(e, chain) {
				return true
			}
		}
	}
	return false
}

// removal is what nft is told to remove what is wanted of the owned: the jumps to its chains, what is in them, and them;
// then whole tables.
func (r ruleset) removal(owned spec.Ownership, wanted map[string]bool) []any {
	var jumps, flushes, deletions []any
	told := map[int]bool{} // the rules that jumps has
	for _, c := range r.chains {
		if !ownedChain(owned, c) || !wanted[c.id()] {
			continue
		}
		c.Hook = ""
		for i, rule := range r.rules {
			if !told[i] && rule.in(c) && rule.jumps(c.Name) {
				told[i], rule.Expr = true, nil
				jumps = append(jumps, nftCommand("delete", "rule", rule))
			}
		}
		flushes = append(flushes, nftCommand("flush", "chain", c))
		deletions = append(deletions, nftCommand("delete", "chain", c))
	}
	for _, t := range r.tables {
		if owned.Named(t.Name) && wanted[t.id()] {
			deletions = append(deletions, nftCommand("delete", "table", t))
		}
	}
	return slices.Concat(jumps, flushes, deletions)
}

func nftCommand(verb, kind string, object any) any {
	return map[string]any{verb: map[string]any{kind: object}}
}
