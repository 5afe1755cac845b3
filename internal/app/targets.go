// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

// targets returns how the machines of a pool are reached.
func targets(s *config.SSH) func(agent string) (sshexec.Target, error) {
	keys := []sshexec.Key{{Name: s.Key.String(), PEM: secretBytes(s.Key)}}
	if !s.Passphrase.IsZero() {
		keys[0].Passphrase = secretBytes(s.Passphrase)
	}
	host := func(user, address string, port int) sshexec.Host {
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(strings.Trim(address, "[]"), strconv.Itoa(port))
		}
		return sshexec.Host{Address: address, User: user, Keys: keys, KnownHosts: []string{s.KnownHosts}}
	}
	return func(agent string) (sshexec.Target, error) {
		address, ok := s.Hosts[agent]
		if !ok {
			address = strings.ReplaceAll(s.Host, "{agent}", agent)
		}
		if strings.ContainsAny(address, " \t\n/@") {
			return sshexec.Target{}, fmt.Errorf("no machine is called %q; name the agent's address in ssh.hosts", address)
		}
		t := sshexec.Target{Host: host(s.User, address, s.Port)}
		for _, jump := range s.Jump {
			user, address, ok := strings.Cut(jump, "@")
			if !ok {
				user, address = s.User, jump
			}
			t.Jumps = append(t.Jumps, host(user, address, 22))
		}
		return t, nil
	}
}

// way is how the machine of one agent is reached, in words that a loan keeps: references to secrets, and none to a program, which
// whoever writes to the database could have us run.
func way(s *config.SSH) func(agent string) string {
	return func(agent string) string {
		if s.Key.Runs() || s.Passphrase.Runs() {
			return ""
		}
		one := *s
		one.Hosts = nil
		if address, ok := s.Hosts[agent]; ok {
			one.Host = address
		}
		text, err := yaml.Marshal(one)
		if err != nil {
			return "" // it is made of words and numbers alone
		}
		return string(text)
	}
}

// reach reads what [way] has written.
func reach(way, agent string) (sshexec.Target, error) {
	var s config.SSH
	if err := yaml.Unmarshal([]byte(way), &s); err != nil {
		return sshexec.Target{}, fmt.Errorf("how agent %s was reached cannot be read: %w", agent, err)
	}
	if s.Key.Runs() || s.Passphrase.Runs() {
		return sshexec.Target{}, fmt.Errorf("how agent %s was reached is not as it was stored: a program tells its key", agent)
	}
	return targets(&s)(agent)
}

func secretBytes(s config.Secret) sshexec.Secret {
	return func(ctx context.Context) ([]byte, error) {
		value, err := s.Read(ctx)
		if err != nil {
			return nil, err
		}
		return append([]byte(value), '\n'), nil // a PEM block ends with a line break
	}
}
