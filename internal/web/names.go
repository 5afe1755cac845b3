// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"net/url"
	"strings"
)

// natural orders names as people do: runs of digits by their value, so that el9-2 stands before
// el9-10. Names that differ only in leading zeros are ordered as texts.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		m, n := digits(x), digits(y)
		if m == 0 || n == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		p, q := strings.TrimLeft(x[:m], "0"), strings.TrimLeft(y[:n], "0")
		if c := cmp.Or(cmp.Compare(len(p), len(q)), cmp.Compare(p, q)); c != 0 {
			return c
		}
		x, y = x[m:], y[n:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// digits counts the digits that a text begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// titleOf makes the address of a build readable: the full name of its job and its number. What is
// no such address stays as it is.
func titleOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	_, path, found := strings.Cut(u.Path, "/job/")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if !found || len(parts) < 2 || len(parts)%2 != 0 {
		return address
	}
	// job/NAME is repeated for each folder; the number comes last.
	name := []string{parts[0]}
	for i := 1; i+2 < len(parts); i += 2 {
		if parts[i] != "job" {
			return address
		}
		name = append(name, parts[i+1])
	}
	return strings.Join(name, "/") + " #" + parts[len(parts)-1]
}
