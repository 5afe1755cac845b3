// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// adminToken is that of the user who may use the script console. No output may show it.
const adminToken = "canary-admin-token"

var (
	literal   = regexp.MustCompile(`'([A-Za-z0-9+/=]{100,})'`)
	gateNames = regexp.MustCompile(`println PitcrewRegistration\.run\('([^']*)', '([^']*)', '([^']*)', '([^']*)'`)
)

// console plays the script console of a controller whose home is a directory: it knows the two scripts that the program
// sends, puts the model of the gate where the script says, and prints what that would.
func console(home string) func(*jenkinstest.Jenkins, string) (string, int) {
	file := filepath.Join(home, "init.groovy.d", gate.FileName)
	return func(j *jenkinstest.Jenkins, script string) (string, int) {
		if script == gate.RemoveScript() {
			said := "pitcrew-gate: no file " + file + "\n"
			if os.Remove(file) == nil {
				said = "pitcrew-gate: deleted " + file + "\n"
			}
			j.RemoveGate()
			return said + "pitcrew-gate: unregistered 6\n", 0
		}
		var encoded strings.Builder
		for _, m := range literal.FindAllStringSubmatch(script, -1) {
			encoded.WriteString(m[1])
		}
		text, err := base64.StdEncoding.DecodeString(encoded.String())
		names := gateNames.FindSubmatch(text)
		if err != nil || names == nil {
			return "groovy.lang.MissingPropertyException: No such property: x for class: Script1\n", 0
		}
		sum := sha256.Sum256(text)
		digest := hex.EncodeToString(sum[:])
		o := jenkinstest.GateOptions{Version: string(names[1]), Cleanable: string(names[2]), Dirty: string(names[3]), Clean: string(names[4]), Hook: "console"}
		said := fmt.Sprintf("pitcrew-gate: text %s\n%s\npitcrew-gate: registered\n", digest, "pitcrew gate: registered by the console")
		if strings.Contains(script, "if (true)") {
			err := os.MkdirAll(filepath.Dir(file), 0o700)
			if err == nil {
				err = os.WriteFile(file, text, 0o600)
			}
			if err != nil {
				return said + "java.nio.file.AccessDeniedException: " + file + "\n", 0
			}
			o.Hook = "console, and init script"
			said += fmt.Sprintf("pitcrew-gate: file %s %s\n", digest, file)
		}
		j.InstallGate(o)
		return said, 0
	}
}
