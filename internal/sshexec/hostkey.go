// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"bytes"
	"errors"
	"fmt"
	"net"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys judges the key that a host shows.
type hostKeys struct {
	// algorithms are those that the pins can answer. Without them a server that prefers another of its keys looks like a mismatch.
	algorithms []string
	check      ssh.HostKeyCallback
}

func (h Host) hostKeys() (hostKeys, error) {
	if len(h.HostKeys) > 0 {
		return pinned(h.HostKeys)
	}
	db, err := knownhosts.NewDB(h.KnownHosts...)
	if err != nil {
		return hostKeys{}, fmt.Errorf("read known hosts: %w", err)
	}
	return hostKeys{algorithms: db.HostKeyAlgorithms(h.addr()), check: db.HostKeyCallback()}, nil
}

// pinned trusts the keys of the lines and no others, under whatever name the host is reached.
func pinned(lines []string) (hostKeys, error) {
	var pins []ssh.PublicKey
	var algorithms []string
	for _, line := range lines {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return hostKeys{}, fmt.Errorf("parse pinned host key %q: %w", line, err)
		}
		pins = append(pins, key)
		if key.Type() == ssh.KeyAlgoRSA { // the key's name is that of the old, weak signature
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algorithms = append(algorithms, key.Type())
		}
	}
	check := func(_ string, _ net.Addr, key ssh.PublicKey) error {
		want := make([]xknownhosts.KnownKey, 0, len(pins))
		for _, pin := range pins {
			if bytes.Equal(pin.Marshal(), key.Marshal()) {
				return nil
			}
			want = append(want, xknownhosts.KnownKey{Key: pin, Filename: "configuration"})
		}
		return &xknownhosts.KeyError{Want: want}
	}
	return hostKeys{algorithms: algorithms, check: check}, nil
}

// refusal turns what is wrong with a shown key into an Error that a person can act on.
func refusal(addr string, key ssh.PublicKey, err error) *Error {
	shown := fmt.Errorf("%s showed %s %s", addr, key.Type(), ssh.FingerprintSHA256(key))
	var unpinned *xknownhosts.KeyError
	if errors.As(err, &unpinned) && len(unpinned.Want) == 0 {
		return &Error{Kind: HostKeyUnknown, Addr: addr, Line: knownhosts.Line([]string{addr}, key), Err: shown}
	}
	return &Error{Kind: HostKeyMismatch, Addr: addr, Err: fmt.Errorf("%w: %w", shown, err)}
}
