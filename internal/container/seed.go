// SPDX-License-Identifier: Apache-2.0

package container

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// seedScript is the init script of every seed that is not Bare. See there what it does.
//
//go:embed seed.groovy
var seedScript string

// Files of a seed, by their paths in the home. seed.groovy knows them as well.
const (
	scriptFile = "init.groovy.d/00-pitcrew-seed.groovy" // sorts before scripts of the user's
	userFile   = "pitcrew-seed/user"
	tokenFile  = "pitcrew-seed/token" //nolint:gosec // a path
	urlFile    = "pitcrew-seed/url"
)

// Token is an API token. It prints as stars; string(t) is the token itself.
type Token string

const stars = "***"

func (t Token) String() string {
	if t == "" {
		return ""
	}
	return stars
}

// GoString is for %#v.
func (t Token) GoString() string { return strconv.Quote(t.String()) }

// LogValue is for slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText keeps it out of dumps.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// NewToken makes an API token of the form that Jenkins takes for a fixed one: the version 11 and 32 hex digits
// (jenkins.security.apitoken.ApiTokenStore#addFixedNewToken).
func NewToken() Token {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	return Token("11" + hex.EncodeToString(secret[:]))
}

// Seed is what is put into the home of a controller before it starts. The zero value is one user with a token of ours, who may do anything, and
// nobody else.
type Seed struct {
	User  string // default: pitcrew
	Token Token  // default: a new one
	// Files of the home by their paths in it, with slashes: init scripts in init.groovy.d run after ours, jenkins.yaml is read where the
	// plugin configuration-as-code is installed.
	Files map[string][]byte
	// Bare leaves our init script out: Files give User and Token their rights.
	Bare bool
}

var (
	goodToken = regexp.MustCompile(`^11[0-9a-f]{32}$`)
	goodUser  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

func (s Seed) withDefaults() (Seed, error) {
	if s.User == "" {
		s.User = "pitcrew"
	}
	if s.Token == "" {
		if s.Bare {
			return s, fmt.Errorf("seed without our script: give the token that its files make")
		}
		s.Token = NewToken()
	}
	if !s.Bare && !goodToken.MatchString(string(s.Token)) {
		return s, fmt.Errorf("token of the seed: want 11 and 32 hexadecimal digits in lower case")
	}
	if !goodUser.MatchString(s.User) {
		return s, fmt.Errorf("user of the seed %q: want letters, digits and . _ -", s.User)
	}
	for name := range s.Files {
		if !fs.ValidPath(name) || name == "." || strings.HasPrefix(name, "pitcrew-seed/") || name == scriptFile {
			return s, fmt.Errorf("file of the seed %q: want a path in the home, and not one of ours", name)
		}
	}
	return s, nil
}

// files are all that goes into the home before the start. rootURL is left out while it is not known: it follows in urlContent.
func (s Seed) files(rootURL string) map[string][]byte {
	all := maps.Clone(s.Files)
	if all == nil {
		all = map[string][]byte{}
	}
	if s.Bare {
		return all
	}
	all[scriptFile] = []byte(seedScript)
	all[userFile] = []byte(s.User + "\n")
	all[tokenFile] = []byte(string(s.Token) + "\n")
	if rootURL != "" {
		all[urlFile] = urlContent(rootURL)
	}
	return all
}

// urlContent ends with a newline, by which the script knows that it has the whole of it.
func urlContent(rootURL string) []byte { return []byte(strings.TrimRight(rootURL, "/") + "/\n") }
