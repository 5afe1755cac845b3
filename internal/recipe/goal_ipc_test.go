// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"strings"
	"testing"
)

func TestIPCWantsOwnedUsers(t *testing.T) {
	t.Parallel()
	const text = "version: 1\nname: x\nowns: {names: [ci-1]}\nclean:\n  - {name: ipc, ipc: {}}\nverify:\n  - {name: v, run: 'true'}\n"
	if _, err := Parse("r.yaml", []byte(text), opener(nil)); err == nil || !strings.Contains(err.Error(), "the recipe owns no users") {
		t.Errorf("without users: %v", err)
	}
	r, err := Parse("r.yaml", []byte(strings.Replace(text, "names: [ci-1]", "users: [jenkins]", 1)), opener(nil))
	if err != nil || r.Steps[0].Goal.IPC == nil {
		t.Errorf("with users: %v", err)
	}
}
