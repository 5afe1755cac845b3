// SPDX-License-Identifier: Apache-2.0

// Package recipes is the library of recipes that people start from: the files of this directory, as pitcrew carries them.
// docs/library.md describes them.
package recipes

import "embed"

// Files holds each recipe of the library as NAME.yaml, and below parts what they include and carry.
//
//go:embed *.yaml parts
var Files embed.FS
