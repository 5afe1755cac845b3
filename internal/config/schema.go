// SPDX-License-Identifier: Apache-2.0

package config

import (
	_ "embed" // for schema.json
	"slices"
)

//go:generate go test -run TestReference -update .

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of the configuration file, for editors and other tools. It is made of
// the structs and their comments; a test holds it to them. It knows no rules between settings: only [Parse] checks
// that names refer to something.
func Schema() []byte { return slices.Clone(schema) }
