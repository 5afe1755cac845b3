// SPDX-License-Identifier: Apache-2.0

package loanjob

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

// Verb is what is asked of the program where no build runs it.
type Verb string

// The verbs of a loan to a controller, and those of a loan to a person.
const (
	StartVerb  Verb = "start"
	StatusVerb Verb = "status"
	EndVerb    Verb = "end"
	GrantVerb  Verb = "grant-ssh"
	RevokeVerb Verb = "revoke-ssh"
)

// Carry returns one program for sh that brings everything along: our program, what it reads from standard input, and, if
// there is one, the agent program. Its parts lie in a directory that only its account can read, and are gone when it ends;
// the loan that it starts has its own copies.
func Carry(verb Verb, input, jar []byte) ([]byte, error) {
	program := Program()
	for what, part := range map[string][]byte{"program": program, "input": input} {
		if bytes.Contains(part, []byte("\nPITCREW_PART\n")) || len(part) == 0 || part[len(part)-1] != '\n' {
			return nil, fmt.Errorf("carry a loan's %s: it cannot stand in a here-document", what)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `#!/bin/sh
umask 077
d=$(mktemp -d "${TMPDIR:-/tmp}/pitcrew-loan.XXXXXX") || exit 74
trap 'rm -rf "$d"' EXIT
trap 'exit 143' HUP INT TERM
cat >"$d/program" <<'PITCREW_PART'
%sPITCREW_PART
cat >"$d/input" <<'PITCREW_PART'
%sPITCREW_PART
`, program, input)
	if len(jar) > 0 {
		b.WriteString("cat >\"$d/jar.b64\" <<'PITCREW_PART'\n")
		writeLines(&b, base64.StdEncoding.EncodeToString(jar))
		b.WriteString(`PITCREW_PART
base64 -d <"$d/jar.b64" >"$d/` + CarriedJar + `" 2>/dev/null || openssl base64 -d <"$d/jar.b64" >"$d/` + CarriedJar + `" || {
	echo "pitcrew-loan - refused neither base64 nor openssl is there to unpack agent.jar"
	exit 78
}
`)
	}
	fmt.Fprintf(&b, "cd \"$d\" || exit 74\nsh ./program %s <input\nexit $?\n", verb)
	return b.Bytes(), nil
}

// CarriedJar is where a program that was carried finds the agent program, for [Order.Input].
const CarriedJar = "agent.jar"

// writeLines breaks base64 as every decoder takes it.
func writeLines(b *bytes.Buffer, text string) {
	const width = 76
	for len(text) > width {
		b.WriteString(text[:width])
		b.WriteByte('\n')
		text = text[width:]
	}
	b.WriteString(text)
	b.WriteByte('\n')
}
