// SPDX-License-Identifier: Apache-2.0

package spec

// Journal asks that the archived files of the system's journal stay within a policy. The files that are being written
// are not counted and stay.
type Journal struct {
	// Older has entries removed, by whole files, that are older; 0 removes none for its age.
	Older Seconds `json:"older,omitempty"`
	// Size is how many bytes archived files may take in each of the journal's directories; 0 is any number.
	Size int64 `json:"size,omitempty"`
}
