// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FileName is that of the gate in init.groovy.d. Jenkins runs what is there in the order of the names
// (jenkins.util.groovy.GroovyHookScript#run).
const FileName = "000-pitcrew-gate.groovy"

// sentinel begins the lines that our scripts print for us; whatever else they print is for people.
const sentinel = "pitcrew-gate:"

// maxLiteral is less than what a class file can hold as one text (65,535 bytes).
const maxLiteral = 32 << 10

//go:embed install.groovy
var installer string

//go:embed remove.groovy
var remover string

// InstallScript is what registers the gate when it is sent to the script console, and writes it into init.groovy.d if
// write. [ReadInstalled] reads what it prints.
func InstallScript(version string, labels Labels, write bool) (string, error) {
	text, err := Script(version, labels)
	if err != nil {
		return "", err
	}
	var parts []string
	for part := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString([]byte(text))), maxLiteral) {
		parts = append(parts, "'"+string(part)+"'")
	}
	return strings.NewReplacer("@TEXT@", strings.Join(parts, ",\n    "), "@FILE@", FileName, "@WRITE@", strconv.FormatBool(write), "@SENTINEL@", sentinel).Replace(installer), nil
}

// Installed is what the console said of an installation.
type Installed struct {
	File   string   // path on the controller of the file that Jenkins runs at its start; "" = there is none of ours
	Same   bool     // that file is this gate
	Others []string // other files there that are gates, too: of two, the one that runs last is in force
	Fault  string   // what went wrong after the gate was registered, "" = nothing
}

// ReadInstalled reads the answer to an [InstallScript]. An error means that the gate is not registered, or that another
// than this one is.
func ReadInstalled(answer, version string, labels Labels) (Installed, error) {
	var in Installed
	text, err := Script(version, labels)
	if err != nil {
		return in, err
	}
	sum := sha256.Sum256([]byte(text))
	digest := hex.EncodeToString(sum[:])
	said := lines(answer)
	if !slices.Contains(said, "text "+digest) {
		return in, fmt.Errorf("the script console did not run the script that was sent: %s", cmp.Or(exception(answer), "it does not say why"))
	}
	if !slices.Contains(said, "registered") {
		return in, fmt.Errorf("the gate could not be registered: %s", cmp.Or(exception(answer), "it does not say why"))
	}
	in.Fault = exception(answer)
	for _, line := range said {
		if rest, ok := strings.CutPrefix(line, "file "); ok {
			of, path, _ := strings.Cut(rest, " ")
			in.File, in.Same = path, of == digest
		} else if path, ok := strings.CutPrefix(line, "another "); ok {
			in.Others = append(in.Others, path)
		}
	}
	return in, nil
}

// RemoveScript is what takes the gate out when it is sent to the script console. [ReadRemoved] reads what it prints.
func RemoveScript() string {
	return strings.NewReplacer("@FILE@", FileName, "@SENTINEL@", sentinel).Replace(remover)
}

// Removed is what the console said of a removal.
type Removed struct {
	File   string   // path of the file that was deleted, "" = there was none
	Parts  int      // registered parts that were taken out: 0 if there was no gate
	Others []string // other files that bring a gate back at the next start
}

// ReadRemoved reads the answer to a [RemoveScript]. An error means that the gate may still be there.
func ReadRemoved(answer string) (Removed, error) {
	var out Removed
	done := false
	for _, line := range lines(answer) {
		if path, ok := strings.CutPrefix(line, "deleted "); ok {
			out.File = path
		} else if path, ok := strings.CutPrefix(line, "another "); ok {
			out.Others = append(out.Others, path)
		} else if n, ok := strings.CutPrefix(line, "unregistered "); ok {
			var err error
			if out.Parts, err = strconv.Atoi(n); err == nil {
				done = true
			}
		}
	}
	if !done {
		return out, fmt.Errorf("the gate could not be removed: %s", cmp.Or(exception(answer), "it does not say why"))
	}
	return out, nil
}

// lines are those that our scripts print for us.
func lines(answer string) []string {
	var all []string
	s := bufio.NewScanner(strings.NewReader(answer))
	for s.Scan() {
		if rest, ok := strings.CutPrefix(s.Text(), sentinel+" "); ok {
			all = append(all, strings.TrimRight(rest, " \r"))
		}
	}
	return all
}

// exception is what a person needs to see of a stack trace in an answer, "" if there is none. What a compiler has to say
// begins below the exception's name.
func exception(answer string) string {
	all := strings.Split(answer, "\n")
	for i, line := range all {
		name, _, _ := strings.Cut(line, ":")
		if !strings.HasSuffix(name, "Exception") && !strings.HasSuffix(name, "Error") {
			continue
		}
		if line = strings.TrimSpace(line); strings.HasSuffix(line, ":") && i+1 < len(all) {
			line += " " + strings.TrimSpace(all[i+1])
		}
		return line
	}
	return ""
}
