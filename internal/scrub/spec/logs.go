// SPDX-License-Identifier: Apache-2.0

package spec

// Logs asks that no rotated log is older than Older. Logs that are being written stay, and so does every file that a
// process has open.
type Logs struct {
	// Paths are the directories that are looked through, with all below them; none means /var/log.
	Paths []string `json:"paths,omitempty"`
	// Older is how long ago a rotated log has to have been written for the last time to go.
	Older Seconds `json:"older,omitempty"`
	// Keep are patterns (as in path.Match) of names that stay.
	Keep []string `json:"keep,omitempty"`
	// Logins has the records of logins (wtmp and btmp directly in a path) emptied when they hold more bytes; 0 leaves
	// them alone.
	Logins int64 `json:"logins,omitempty"`
}
