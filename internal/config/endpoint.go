// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

// Endpoint is an http or https address, or a [Secret] that refers to one.
type Endpoint struct {
	url    string
	secret Secret
}

// UnmarshalText reads an address or a reference. Its errors never repeat the text.
func (e *Endpoint) UnmarshalText(text []byte) error {
	if s := string(text); strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		if err := checkURL(s); err != nil {
			return err
		}
		*e = Endpoint{url: s}
		return nil
	}
	var secret Secret
	if err := secret.UnmarshalText(text); err != nil {
		return errors.New("want an http or https address, or a reference to one: env:NAME, file:/path, credential:NAME or exec:/path arguments")
	}
	*e = Endpoint{secret: secret}
	return nil
}

// IsZero reports whether no address is given.
func (e Endpoint) IsZero() bool { return e == Endpoint{} }

// Equal reports whether e and o are the same address or reference.
func (e Endpoint) Equal(o Endpoint) bool { return e == o }

// Read returns the address as it is now.
func (e Endpoint) Read(ctx context.Context) (string, error) {
	if e.secret.IsZero() {
		return e.url, nil
	}
	return e.secret.Read(ctx)
}

// String returns the reference, or the address without path and query, which can be secrets.
func (e Endpoint) String() string {
	if !e.secret.IsZero() || e.url == "" {
		return e.secret.String()
	}
	u, err := url.Parse(e.url)
	if err != nil {
		return ""
	}
	if strings.Trim(u.Path, "/") == "" && u.RawQuery == "" {
		return e.url
	}
	return u.Scheme + "://" + u.Host + "/..."
}

// MarshalText writes e as [Endpoint.String] does.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// checkURL refuses what is no plain http or https address, without repeating it.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("want an address such as https://jenkins.example.org/")
	case u.User != nil:
		return errors.New("an address must not hold a user name or password")
	case u.Fragment != "":
		return errors.New("an address must not hold a fragment")
	}
	return nil
}
