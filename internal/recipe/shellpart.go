// SPDX-License-Identifier: Apache-2.0

package recipe

// ShellParts returns shell that other programs for agents' machines begin with, too: line.sh, digest.sh, process.sh,
// lineage.sh and session.sh, which define functions and run nothing.
func ShellParts() string {
	return linePart + "\n" + digestPart + "\n" + processPart + "\n" + lineagePart + "\n" + sessionPart
}
