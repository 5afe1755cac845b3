// SPDX-License-Identifier: Apache-2.0

package app

import (
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

func secret(t *testing.T, reference string) (s config.Secret) {
	t.Helper()
	if err := s.UnmarshalText([]byte(reference)); err != nil {
		t.Fatal(err)
	}
	return s
}

// What a loan keeps of how its machine is reached leads there as the configuration did.
func TestAMachineIsReachedByWhatALoanKept(t *testing.T) {
	t.Parallel()
	key := t.TempDir() + "/key"
	whole := config.SSH{
		User: "root", Port: 2222, Host: "{agent}.example.org", Hosts: map[string]string{"odd": "192.0.2.7:22", "other": "192.0.2.8"},
		Key: secret(t, "file:"+key), Passphrase: secret(t, "env:PASS"), KnownHosts: "/etc/pitcrew/known_hosts", Jump: []string{"me@gate:23", "inner"},
	}
	bare := whole
	bare.Passphrase, bare.Jump, bare.Hosts = config.Secret{}, nil, nil
	for name, s := range map[string]config.SSH{"whole": whole, "bare": bare} {
		for _, agent := range []string{"el9-1", "odd", "a: 'b' #c\n"} {
			kept := way(&s)(agent)
			if kept == "" || strings.Contains(kept, "192.0.2.8") {
				t.Errorf("%s: of %q is kept %q", name, agent, kept)
			}
			want, wrong := targets(&s)(agent)
			got, err := reach(kept, agent)
			if hops(got) != hops(want) || (err == nil) != (wrong == nil) {
				t.Errorf("%s: %q is reached by %q, %v; want %q, %v", name, agent, hops(got), err, hops(want), wrong)
			}
		}
	}
}

func hops(t sshexec.Target) string {
	var all []string
	for _, h := range append(t.Jumps, t.Host) {
		names := make([]string, len(h.Keys))
		for i, k := range h.Keys {
			names[i] = k.Name
			if k.Passphrase != nil {
				names[i] += "+passphrase"
			}
		}
		all = append(all, h.User+"@"+h.Address+" "+strings.Join(names, ",")+" "+strings.Join(h.KnownHosts, ","))
	}
	return strings.Join(all, " > ")
}

// Who writes to the database has no program run by the daemon.
func TestNoProgramIsRunForWhatALoanKept(t *testing.T) {
	t.Parallel()
	s := config.SSH{User: "root", Port: 22, Host: "{agent}", Key: secret(t, "exec:/bin/vault read"), KnownHosts: "/k"}
	if kept := way(&s)("el9-1"); kept != "" {
		t.Errorf("kept is %q", kept)
	}
	for _, forged := range []string{
		"user: root\nport: 22\nhost: el9-1\nkey: exec:/bin/evil\nknownHosts: /k\n",
		"user: root\nport: 22\nhost: el9-1\nkey: file:/k\npassphrase: exec:/bin/evil\nknownHosts: /k\n",
		"user: [",
	} {
		if _, err := reach(forged, "el9-1"); err == nil {
			t.Errorf("%q is taken", forged)
		}
	}
}
