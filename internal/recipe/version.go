// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// comparison is a condition on the version of a system, such as centos>=7.
type comparison struct{ name, sign, version string }

var comparisonWord = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._+-]*)(>=|<=|>|<)(\d{1,9}(?:\.\d{1,9}){0,3})$`)

// comparisonOf reads a word without its mark of negation; ok is false if it compares nothing.
func comparisonOf(word string) (c comparison, ok bool) {
	m := comparisonWord.FindStringSubmatch(word)
	if m == nil {
		return comparison{}, false
	}
	return comparison{m[1], m[2], m[3]}, true
}

// holds reports whether version satisfies c. Only as many of its parts count as c names: 7.9 is a 7, so it satisfies
// both >=7 and <=7. A part that version lacks is 0; a version that does not begin with a number satisfies nothing.
func (c comparison) holds(version string) bool {
	if version == "" || version[0] < '0' || version[0] > '9' {
		return false
	}
	have, want := strings.Split(version, "."), strings.Split(c.version, ".")
	order := 0
	for i, part := range want {
		mine := 0
		if i < len(have) {
			mine = number(have[i])
		}
		if order = cmp.Compare(mine, number(part)); order != 0 {
			break
		}
	}
	switch c.sign {
	case ">=":
		return order >= 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order < 0
	}
}

// number is the number that a part of a version begins with; one of more than nine digits is as large as any.
func number(part string) int {
	end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(part)
	}
	if end > 9 {
		return 999_999_999
	}
	n, _ := strconv.Atoi(part[:end]) // no digits at all are 0
	return n
}

// possible reports whether any version satisfies c and none of refused, which are about the same name.
func (c comparison) possible(refused []comparison) bool {
	for _, version := range samples(append([]comparison{c}, refused...)) {
		fits := func(o comparison) bool { return o.holds(version) }
		if fits(c) && !slices.ContainsFunc(refused, fits) {
			return true
		}
	}
	return false
}

// samples returns a version of every range into which the versions of all divide what versions there can be: each itself,
// and its neighbours in its last part.
func samples(all []comparison) []string {
	var versions []string
	for _, c := range all {
		head, last := "", c.version
		if i := strings.LastIndexByte(c.version, '.'); i >= 0 {
			head, last = c.version[:i+1], c.version[i+1:]
		}
		n := number(last)
		versions = append(versions, c.version, head+strconv.Itoa(n+1))
		if n > 0 {
			versions = append(versions, head+strconv.Itoa(n-1))
		}
	}
	return versions
}
