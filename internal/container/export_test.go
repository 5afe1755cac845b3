// SPDX-License-Identifier: Apache-2.0

package container

// SeedFiles are what Start puts into a home.
func SeedFiles(s Seed, rootURL string) map[string][]byte { return s.files(rootURL) }
