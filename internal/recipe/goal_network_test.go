// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"strings"
	"testing"
)

func TestNetworkWantsOwnedNames(t *testing.T) {
	t.Parallel()
	const text = "version: 1\nname: x\nowns: {users: [jenkins]}\nclean:\n  - {name: network, network: {}}\nverify:\n  - {name: v, run: 'true'}\n"
	if _, err := Parse("r.yaml", []byte(text), opener(nil)); err == nil || !strings.Contains(err.Error(), "the recipe owns no names") {
		t.Errorf("without names: %v", err)
	}
	r, err := Parse("r.yaml", []byte(strings.Replace(text, "users: [jenkins]", "names: [ci-*]", 1)), opener(nil))
	if err != nil || r.Steps[0].Goal.Network == nil {
		t.Errorf("with names: %v", err)
	}
}
