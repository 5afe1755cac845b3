// SPDX-License-Identifier: Apache-2.0

// Package config reads the daemon's one configuration file.
//
// The file is YAML and read strictly: an unknown setting, a wrong type, a value out of range or a name that refers to
// nothing is a [Problem] with file, line, column, path and the line itself; all of them are reported at once. The
// structs are the one source of truth: their tags carry names, defaults, required settings, choices and bounds, which
// the decoder, the JSON Schema and the reference page all use. Their comments are written for operators, since the
// reference page and the schema quote them.
//
// A setting that is a secret holds a reference to it ([Secret]), never the secret. It is read when it is needed, so
// that rotation works. A plain secret in the file is refused, and no message, excerpt or output of [Config.Show]
// repeats it.
//
// Invariants: a [*Config] that [Load] or [Parse] returned is complete (defaults filled in), consistent, and never
// changes; a [Holder] replaces it as a whole or not at all.
package config
