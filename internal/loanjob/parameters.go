// SPDX-License-Identifier: Apache-2.0

package loanjob

import (
	"bytes"
	"cmp"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// Isolation says whether the loan needs an account of its own on the agent's machine.
type Isolation string

// What isolation may be asked for.
const (
	// Required: without an account of its own there is no loan.
	Required Isolation = "required"
	// Preferred: without one it runs as the account of the lender's agent, and says so.
	Preferred Isolation = "preferred"
	// None: it runs as the account of the lender's agent.
	None Isolation = "none"
)

// Order is what one loan is held with.
type Order struct {
	Agent      string // that is lent, by its name at the lender
	Controller string // the lender, by the name that the daemon knows it by
	Attempt    int64
	Loan       string // letters, digits, "-" and "_", at most 64

	URL  string // root address of the borrower
	Node string // name of the agent at the borrower
	// Dir is the work directory: an absolute path that does not exist, in a place where the account may make it. It is
	// gone after the loan.
	Dir       string
	User      string // account to run as; "" is the agent's own
	Isolation Isolation
	JarSHA256 string // of the borrower's agent program, in hex
	// Certificate is what to trust at the borrower, in PEM; "" is what Java trusts.
	Certificate string

	Limit  time.Duration // after which the holder ends the loan itself; whole seconds
	Attach time.Duration // that the agent program may take to connect; whole seconds
}

// Secrets are what an order says that nobody may read.
type Secrets struct {
	Nonce  string // of the attempt: at least 16 letters, digits, "-" and "_"
	Secret string // of the agent at the borrower
}

// maxCertificate bounds what goes through the pipe to the holder.
const maxCertificate = 32 << 10

var (
	loanID    = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)
	account   = regexp.MustCompile(`^([0-9A-Za-z._][0-9A-Za-z._-]*)?$`)
	plainPath = regexp.MustCompile(`^/[0-9A-Za-z/._+-]+$`)
	plainURL  = regexp.MustCompile(`^https?://[][0-9A-Za-z:/._~%-]+$`)
	sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)
	nonce     = regexp.MustCompile(`^[0-9A-Za-z_-]{16,}$`)
	secret    = regexp.MustCompile(`^[0-9A-Za-z]+$`)
)

// maxSeconds is what the program takes for a number.
const maxSeconds = 9_999_999_999

// Certificates returns the certificates of a PEM file as [Order.Certificate] takes them, without what stands around them.
func Certificates(file []byte) (string, error) {
	var all bytes.Buffer
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			_ = pem.Encode(&all, &pem.Block{Type: block.Type, Bytes: block.Bytes}) // a buffer takes everything
		}
	}
	switch {
	case all.Len() == 0:
		return "", errors.New("no certificate in it")
	case all.Len() > maxCertificate:
		return "", fmt.Errorf("its certificates have %d bytes, an agent can be told %d", all.Len(), maxCertificate)
	}
	return all.String(), nil
}

// check finds what the program would refuse. Its errors tell no secret.
func (o Order) check(s Secrets) error {
	seconds := func(d time.Duration) bool { return d >= time.Second && d/time.Second <= maxSeconds }
	for _, c := range []struct {
		what string
		ok   bool
	}{
		{"agent", o.Agent != "" && recipe.Storable(o.Agent)},
		{"controller", o.Controller != "" && recipe.Storable(o.Controller)},
		{"attempt", o.Attempt > 0 && o.Attempt <= maxSeconds},
		{"loan", loanID.MatchString(o.Loan)},
		{"URL", plainURL.MatchString(o.URL)},
		{"node", isNode(o.Node)},
		{"directory", plainPath.MatchString(o.Dir) && path.Clean(o.Dir) == o.Dir},
		{"account", account.MatchString(o.User)},
		{"isolation", slices.Contains([]Isolation{Required, Preferred, None}, o.Isolation)},
		{"SHA-256 of the agent program", sha256Hex.MatchString(o.JarSHA256)},
		{"certificate", o.Certificate == "" || strings.HasPrefix(o.Certificate, "-----BEGIN CERTIFICATE-----") && len(o.Certificate) <= maxCertificate},
		{"limit", seconds(o.Limit)},
		{"time to connect", seconds(o.Attach)},
		{"nonce", nonce.MatchString(s.Nonce)},
		{"secret", secret.MatchString(s.Secret)},
	} {
		if !c.ok {
			return fmt.Errorf("order loan %q: its %s is not one that the program takes", o.Loan, c.what)
		}
	}
	return nil
}

// isNode reports whether an agent at the borrower may be called so: Java and the agent program take some beginnings for options.
func isNode(name string) bool {
	return name != "" && recipe.Storable(name) && !strings.ContainsAny(name[:1], "@-")
}

// CheckNode says what no program would be started with of a node that a borrower has made: which part of it, and what that
// should be; "" if nothing stands against it. It tells no secret.
func CheckNode(url, node, secretOf string) (part, problem string) {
	switch {
	case !plainURL.MatchString(url):
		return "to.url", "want the root address of a Jenkins, as https://jenkins.example.org/, without a user, a query or blanks"
	case !isNode(node):
		return "node", "want the name of an agent, without control characters, and with neither @ nor - at its beginning"
	case !secret.MatchString(secretOf):
		return "secret", "want the secret of an agent: letters and digits"
	}
	return "", ""
}

// IsKey reports whether a text is a public key that a person may be let in with.
func IsKey(text string) bool { return publicKey.MatchString(text) && recipe.Storable(text) }

// Parameters returns the values of the job's parameters for one build, and apart from them those of the password
// parameters, which belong in the body of the request and nowhere else.
func (o Order) Parameters(s Secrets) (plain, passwords map[string]string, err error) {
	if err := o.check(s); err != nil {
		return nil, nil, err
	}
	return map[string]string{
		"PITCREW_AGENT": o.Agent, "PITCREW_CONTROLLER": o.Controller, "PITCREW_ATTEMPT": strconv.FormatInt(o.Attempt, 10),
		"PITCREW_LOAN": o.Loan, "PITCREW_LOAN_URL": o.URL, "PITCREW_LOAN_NODE": o.Node, "PITCREW_LOAN_DIR": o.Dir,
		"PITCREW_LOAN_USER": o.User, "PITCREW_LOAN_ISOLATION": string(o.Isolation), "PITCREW_LOAN_JAR_SHA256": o.JarSHA256,
		"PITCREW_LOAN_LIMIT": wholeSeconds(o.Limit), "PITCREW_LOAN_ATTACH": wholeSeconds(o.Attach), "PITCREW_LOAN_CERT": o.Certificate,
	}, map[string]string{"PITCREW_NONCE": s.Nonce, "PITCREW_LOAN_SECRET": s.Secret}, nil
}

// Input returns what `sh program start`, status and end read from standard input. jar is the path of the agent program on
// the agent's machine; only start needs it.
func (o Order) Input(s Secrets, jar string) ([]byte, error) {
	plain, passwords, err := o.Parameters(s)
	if err != nil {
		return nil, err
	}
	if !recipe.Storable(jar) {
		return nil, fmt.Errorf("order loan %q: %q is no path", o.Loan, jar)
	}
	maps.Copy(plain, passwords)
	plain[FileParameter] = jar
	return lines(plain), nil
}

// Known returns what the program reads to look after a loan that it has begun, or to end it: status and end. It finds the rest
// on the machine. Of the order it needs agent, controller, attempt, loan, directory and account.
func (o Order) Known(s Secrets) ([]byte, error) {
	switch {
	case o.Agent == "" || o.Controller == "" || !recipe.Storable(o.Agent+o.Controller) || o.Attempt < 1 || !loanID.MatchString(o.Loan) || !nonce.MatchString(s.Nonce):
		return nil, fmt.Errorf("look after loan %q: agent, controller, attempt, id or nonce is not one that the program takes", o.Loan)
	case !plainPath.MatchString(o.Dir) || path.Clean(o.Dir) != o.Dir || !account.MatchString(o.User):
		return nil, fmt.Errorf("look after loan %q: its directory or account is not one that the program takes", o.Loan)
	}
	return lines(map[string]string{
		"PITCREW_AGENT": o.Agent, "PITCREW_CONTROLLER": o.Controller, "PITCREW_ATTEMPT": strconv.FormatInt(o.Attempt, 10),
		"PITCREW_NONCE": s.Nonce, "PITCREW_LOAN": o.Loan, "PITCREW_LOAN_DIR": o.Dir, "PITCREW_LOAN_USER": o.User,
	}), nil
}

// lines writes the certificate last: it has several lines.
func lines(values map[string]string) []byte {
	const certificate = "PITCREW_LOAN_CERT"
	names := slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		last := func(name string) int { return map[bool]int{true: 1}[name == certificate] }
		return cmp.Or(last(a)-last(b), cmp.Compare(a, b))
	})
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s=%s\n", name, values[name])
	}
	return []byte(b.String())
}

// Person is a loan to somebody who comes over SSH, not to a controller.
type Person struct {
	Agent      string
	Controller string
	Attempt    int64
	Loan       string
	User       string        // the account that the key is let into: never the agent's own
	Key        string        // public key, as it stands in authorized_keys, without options
	Limit      time.Duration // after which sshd takes the key no more; whole seconds
}

// publicKey has the kinds that the program knows. Options before them are none, and certificates are not lent to.
var publicKey = regexp.MustCompile(`^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [0-9A-Za-z+/=]+( .*)?$`)

// Input returns what `sh program grant-ssh` and revoke-ssh read from standard input.
func (p Person) Input(s Secrets) ([]byte, error) {
	switch {
	case p.Agent == "" || p.Controller == "" || !recipe.Storable(p.Agent+p.Controller) || p.Attempt < 1 || !loanID.MatchString(p.Loan) || !nonce.MatchString(s.Nonce):
		return nil, fmt.Errorf("lend to a person, loan %q: agent, controller, attempt, id or nonce is not one that the program takes", p.Loan)
	case p.User == "" || !account.MatchString(p.User):
		return nil, errors.New("lend to a person: an account of its own is needed")
	case !IsKey(p.Key):
		return nil, errors.New("lend to a person: that is not a public key")
	case p.Limit < time.Second || p.Limit/time.Second > maxSeconds:
		return nil, errors.New("lend to a person: the limit is not one that the program takes")
	}
	return lines(map[string]string{
		"PITCREW_AGENT": p.Agent, "PITCREW_CONTROLLER": p.Controller, "PITCREW_ATTEMPT": strconv.FormatInt(p.Attempt, 10),
		"PITCREW_NONCE": s.Nonce, "PITCREW_LOAN": p.Loan, "PITCREW_LOAN_USER": p.User, "PITCREW_LOAN_KEY": p.Key,
		"PITCREW_LOAN_LIMIT": wholeSeconds(p.Limit),
	}), nil
}

func wholeSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
