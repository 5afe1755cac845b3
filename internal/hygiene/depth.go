// SPDX-License-Identifier: Apache-2.0

package hygiene

import "slices"

// Depth is how thorough a cleanup is. A deeper one runs every step of a lighter one.
type Depth string

// The depths, the lightest first. A cleanup is standard unless something else was asked for.
const (
	Light    Depth = "light"
	Standard Depth = "standard"
	Deep     Depth = "deep"
)

// Depths returns all depths, the lightest first.
func Depths() []Depth { return []Depth{Light, Standard, Deep} }

// Covers reports whether a cleanup of depth d does all that one of depth other does. Every one covers "", which asks
// for nothing, and "" covers nothing else.
func (d Depth) Covers(other Depth) bool {
	return slices.Index(Depths(), d) >= slices.Index(Depths(), other)
}
