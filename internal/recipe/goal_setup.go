// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

var (
	limitWho    = regexp.MustCompile(`^(\*|@?[a-z_][a-z0-9_.-]{0,31})$`)
	limitValue  = regexp.MustCompile(`^([0-9]{1,12}|unlimited)$`)
	unitName    = regexp.MustCompile(`^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$`)
	sysctlName  = regexp.MustCompile(`^[A-Za-z0-9_-]+([./][A-Za-z0-9_:@-]+)+$`)
	moduleName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)
	programName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`)
	versionText = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)
)

// limitItems are the resources of limits.conf(5).
var limitItems = []string{
	"core", "data", "fsize", "memlock", "nofile", "rss", "stack", "cpu", "nproc", "as", "maxlogins", "maxsyslogins", "priority", "locks",
	"sigpending", "msgqueue", "nice", "rtprio",
}

// fits says what a text has to be if it does not match.
func fits(pattern *regexp.Regexp, want string) func(string) string {
	return func(text string) string {
		if !pattern.MatchString(text) {
			return "want " + want
		}
		return ""
	}
}

// something notes a goal without any wish.
func (d *decoder) something(path string, n ast.Node, count int) {
	if count == 0 && len(d.problems) == 0 {
		d.fail(n, path, "it asks for nothing; leave it out")
	}
}

func (d *decoder) accounts(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Accounts{}
	g.Accounts = goal
	d.options(path, n, []field{
		{"groups", d.texts(&goal.Groups, fits(accountName, "the name of a group"))},
		{"users", func(path string, n ast.Node) {
			d.entries(path, n, func(path, name string, key, n ast.Node) { goal.Users = append(goal.Users, d.user(path, name, key, n)) })
		}},
		{"members", func(path string, n ast.Node) {
			d.entries(path, n, func(path, user string, key, n ast.Node) {
				d.keyFits(path, key, user, accountName, "the name of a user")
				var groups []string
				d.texts(&groups, fits(accountName, "the name of a group"))(path, n)
				for _, group := range groups {
					goal.Members = append(goal.Members, spec.Member{User: user, Group: group})
				}
			})
		}},
		{"limits", func(path string, n ast.Node) {
			d.entries(path, n, func(path, who string, key, n ast.Node) {
				d.keyFits(path, key, who, limitWho, "a user, a @group or *")
				goal.Limits = append(goal.Limits, d.limits(path, who, n)...)
			})
		}},
	})
	d.something(path, n, len(goal.Groups)+len(goal.Users)+len(goal.Members)+len(goal.Limits))
}

// keyFits judges a key of the user's choice.
func (d *decoder) keyFits(path string, key ast.Node, name string, pattern *regexp.Regexp, want string) {
	if !pattern.MatchString(name) {
		d.fail(key, path, "%q: want %s", name, want)
	}
}

func (d *decoder) user(path, name string, key, n ast.Node) spec.User {
	d.keyFits(path, key, name, accountName, "the name of a user")
	u := spec.User{Name: name}
	one := func(to *string) func(path string, n ast.Node) {
		return func(path string, n ast.Node) {
			text, ok := d.text(path, n)
			if why := absolute(text); ok && (why != "" || strings.ContainsAny(text, ":\n")) {
				d.fail(n, path, "%q: want an absolute path", text)
			}
			*to = text
		}
	}
	d.options(path, n, []field{{"home", one(&u.Home)}, {"shell", one(&u.Shell)}})
	return u
}

func (d *decoder) limits(path, who string, n ast.Node) []spec.Limit {
	var all []spec.Limit
	var fields []field
	for _, item := range limitItems {
		fields = append(fields, field{item, func(path string, n ast.Node) {
			all = append(all, spec.Limit{Who: who, Item: item, Value: d.matching(path, n, limitValue, "a number or unlimited")})
		}})
	}
	d.mapping(path, n, fields)
	return all
}

func (d *decoder) services(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Services{}
	g.Services = goal
	unit := fits(unitName, "the name of a unit")
	d.options(path, n, []field{
		{"enabled", d.texts(&goal.Enabled, unit)},
		{"disabled", d.texts(&goal.Disabled, unit)},
		{"masked", d.texts(&goal.Masked, unit)},
		{"running", d.texts(&goal.Running, unit)},
		{"stopped", d.texts(&goal.Stopped, unit)},
	})
	wanted := slices.Concat(goal.Enabled, goal.Running)
	for _, pair := range []struct {
		a, b  []string
		words string
	}{
		{goal.Enabled, goal.Disabled, "enabled and disabled"},
		{goal.Running, goal.Stopped, "running and stopped"},
		{wanted, goal.Masked, "masked, and enabled or running"},
	} {
		if both := inBoth(pair.a, pair.b); both != "" {
			d.fail(n, path, "%s cannot be %s", both, pair.words)
		}
	}
	d.something(path, n, len(wanted)+len(goal.Disabled)+len(goal.Masked)+len(goal.Stopped))
}

// inBoth returns something that is in both lists, or "".
func inBoth(a, b []string) string {
	if at := slices.IndexFunc(a, func(x string) bool { return slices.Contains(b, x) }); at >= 0 {
		return a[at]
	}
	return ""
}

func (d *decoder) sysctl(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Sysctl{}
	g.Sysctl = goal
	d.options(path, n, []field{
		{"values", func(path string, n ast.Node) {
			d.entries(path, n, func(path, name string, key, n ast.Node) {
				d.keyFits(path, key, name, sysctlName, "the name of a value, as net.ipv4.ip_forward")
				value, ok := d.scalar(path, n)
				if ok && (strings.TrimSpace(value) == "" || strings.ContainsAny(value, "\n\x00")) {
					d.fail(n, path, "want a value on one line")
				}
				goal.Values = append(goal.Values, spec.Value{Name: name, Value: value})
			})
		}},
		{"persist", func(path string, n ast.Node) { goal.Persist, _ = d.boolean(path, n) }},
	})
	d.something(path, n, len(goal.Values))
}

func (d *decoder) modules(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Modules{}
	g.Modules = goal
	d.options(path, n, []field{
		{"loaded", d.texts(&goal.Loaded, fits(moduleName, "the name of a module"))},
		{"persist", func(path string, n ast.Node) { goal.Persist, _ = d.boolean(path, n) }},
	})
	d.something(path, n, len(goal.Loaded))
}

// commands reads programs by name, each with nothing or a mapping.
func (d *decoder) commands(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Commands{}
	g.Commands = goal
	d.entries(path, n, func(path, name string, key, n ast.Node) {
		d.keyFits(path, key, name, programName, "the name of a program, without directories")
		p := spec.Program{Name: name}
		d.options(path, n, []field{
			{"atLeast", func(path string, n ast.Node) { p.AtLeast = d.matching(path, n, versionText, "a version, as 2.30") }},
			{"ask", d.texts(&p.Ask, func(string) string { return "" })},
		})
		goal.Programs = append(goal.Programs, p)
	})
	d.something(path, n, len(goal.Programs))
}
