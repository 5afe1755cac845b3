// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	gopath "path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// Borrower is somebody whom agents are lent to: another Jenkins, or people.
type Borrower struct {
	// Name is how requests name the borrower, and what its tokens are bound to.
	Name string `yaml:"name" jsonschema:"required"`
	// Controller is the name of one of the controllers above, which may lend as well. pitcrew makes the nodes there.
	Controller string `yaml:"controller,omitempty"`
	// URL is the root address of a Jenkins that pitcrew does not service, for which it has a login: it makes the nodes
	// there. With neither controller nor url the borrower makes its nodes itself, or borrows agents for people.
	URL string `yaml:"url,omitempty"`
	// Login is who pitcrew is at that url.
	Login *Login `yaml:"login,omitempty"`
	// TLS is needed for a private certificate authority or for client certificates.
	TLS *ClientTLS `yaml:"tls,omitempty"`
	// AgentURL is the borrower's root address as the lent agents reach it. The default is the address that pitcrew uses.
	AgentURL string `yaml:"agentURL,omitempty"`
	// Quota is how many agents the borrower may have at once. 0 means any number.
	Quota int `yaml:"quota" jsonschema:"default=0,minimum=0,maximum=10000"`
	// Labels are those of the nodes at the borrower, where a request names none.
	Labels []string `yaml:"labels,omitempty"`
}

// Loans says that a pool lends its agents, and how.
type Loans struct {
	// Max is how many agents of the pool may be on loan at once.
	Max int `yaml:"max" jsonschema:"default=1,minimum=1,maximum=10000"`
	// KeepClean is how many clean agents of the pool are left for its own builds.
	KeepClean int `yaml:"keepClean" jsonschema:"default=1,minimum=0,maximum=10000"`
	// Account is the account of the machine as which borrowed programs run; it must exist there. Without one they run
	// as the account of the lender's agent, and can read what that can. Name it in the users that the pool's recipe owns,
	// so that what it leaves behind is cleaned.
	Account string `yaml:"account,omitempty"`
	// Isolation says whether borrowed programs must, should or need not run as that account.
	Isolation string `yaml:"isolation" jsonschema:"default=preferred,enum=required,enum=preferred,enum=none"`
	// Dir is the directory in which a loan gets a work directory of its own.
	Dir string `yaml:"dir" jsonschema:"default=/var/tmp"`
	// Term is how long a loan lasts for which nobody asks for another time.
	Term Duration `yaml:"term" jsonschema:"default=1h"`
	// MaxTerm is how long a loan may last with all its renewals.
	MaxTerm Duration `yaml:"maxTerm" jsonschema:"default=8h"`
	// TTL ends a loan whose borrower has given no sign of life for so long. 0 means never.
	TTL Duration `yaml:"ttl" jsonschema:"default=0"`
	// Idle ends a loan on which nothing has run for so long. 0 means never.
	Idle Duration `yaml:"idle" jsonschema:"default=0"`
	// Recall ends a loan on which nothing has run for so long while the pool has too few clean agents for its queue. 0
	// means never.
	Recall Duration `yaml:"recall" jsonschema:"default=5m"`
	// Attach is how long an agent may take to come online at the borrower.
	Attach Duration `yaml:"attach" jsonschema:"default=1m"`
	// AlarmAfter tells people of a loan whose agent is not clean again so long after its end. 0 means never.
	AlarmAfter Duration `yaml:"alarmAfter" jsonschema:"default=30m"`
	// Root says whether borrowed code that nobody has reviewed, such as the candidate of a rehearsal, may ask for root:
	// never; approved, from one of approvedRefs as the borrower's CI tells it; or reimage, because the recipe makes a
	// returned agent anew, or reboots it and cleans it deeply: it is run with depth deep.
	Root string `yaml:"root" jsonschema:"default=never,enum=never,enum=approved,enum=reimage"`
	// ApprovedRefs are patterns of refs whose code a trusted person has approved, such as refs/heads/main. A * stands for
	// anything without a slash.
	ApprovedRefs []string `yaml:"approvedRefs,omitempty"`
	// RehearsalIgnore are differences that do not matter where a rehearsal compares the state of one of these agents with
	// what it was or would be, as KIND:PATTERN, such as file:/var/cache/*.
	RehearsalIgnore []string `yaml:"rehearsalIgnore,omitempty"`
	// AgentJars are the SHA-256 sums of programs of borrowers that may run here. Any other borrower is served by the
	// lender's own agent.jar: no program of somebody else is run unseen.
	AgentJars []string `yaml:"agentJars,omitempty"`
}

var (
	sha256Form  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	accountForm = regexp.MustCompile(`^[A-Za-z0-9._][A-Za-z0-9._-]*$`)
	dirForm     = regexp.MustCompile(`^/[A-Za-z0-9/._+-]*$`)
)

func (k *checker) borrower(b *Borrower, path string) {
	names := k.config.controllerNames()
	switch {
	case b.Controller != "" && b.URL != "":
		k.problem(path+".url", "there is a controller already: use only one of the two")
	case b.Controller != "" && !slices.Contains(names, b.Controller):
		k.problem(path+".controller", "no controller is called %q%s", b.Controller, didYouMean(b.Controller, names))
	case b.URL != "" && b.Login == nil:
		k.problem(path, `"login" is missing: pitcrew makes the nodes at that url`)
	case b.URL == "" && (b.Login != nil || b.TLS != nil):
		k.problem(path, `"url" is missing`)
	}
	if b.URL != "" {
		k.checkControllerURL(&Controller{URL: b.URL}, path)
	}
	if b.AgentURL != "" {
		k.must(path+".agentURL", checkURL(b.AgentURL))
	}
	if l := b.Login; l != nil {
		switch {
		case l.Token.IsZero() && l.Password.IsZero() && !k.broken(path+".login.token") && !k.broken(path+".login.password"):
			k.problem(path+".login", `"token" is missing`)
		case !l.Token.IsZero() && !l.Password.IsZero():
			k.problem(path+".login.password", "there is a token already: use only one of the two")
		}
	}
	if t := b.TLS; t != nil && (t.Cert == "") != (t.Key == "") {
		k.problem(path+".tls", "cert and key go together")
	}
	for i, label := range b.Labels {
		if label == "" || strings.ContainsAny(label, " \t\r\n") {
			k.problem(fmt.Sprintf("%s.labels[%d]", path, i), "want one label")
		}
	}
}

func (k *checker) loans(l *Loans, path string) {
	if l.Account != "" && !accountForm.MatchString(l.Account) {
		k.problem(path+".account", "want the name of an account, such as pitcrew-loan")
	}
	if l.Account == "" && l.Isolation == "required" {
		k.problem(path, `"account" is missing: isolation required needs one`)
	}
	if !dirForm.MatchString(l.Dir) {
		k.problem(path+".dir", "want an absolute path of letters, digits and /._+-")
	}
	if l.Term > l.MaxTerm {
		k.problem(path+".term", "is longer than maxTerm (%s)", l.MaxTerm)
	}
	k.atLeast(path+".term", l.Term, time.Minute)
	k.atLeast(path+".maxTerm", l.MaxTerm, time.Minute)
	k.atLeast(path+".attach", l.Attach, time.Second)
	for _, d := range []struct {
		name string
		is   Duration
	}{{"ttl", l.TTL}, {"idle", l.Idle}, {"recall", l.Recall}, {"alarmAfter", l.AlarmAfter}} {
		if d.is > 0 {
			k.atLeast(path+"."+d.name, d.is, 10*time.Second)
		}
	}
	if l.Root == "approved" && len(l.ApprovedRefs) == 0 {
		k.problem(path, `"approvedRefs" is missing: root approved needs one`)
	}
	for i, pattern := range l.ApprovedRefs {
		if _, err := gopath.Match(pattern, ""); err != nil || pattern == "" {
			k.problem(fmt.Sprintf("%s.approvedRefs[%d]", path, i), "want a pattern such as refs/heads/release/*")
		}
	}
	for i, rule := range l.RehearsalIgnore {
		_, err := state.ParseIgnore([]string{rule})
		k.must(fmt.Sprintf("%s.rehearsalIgnore[%d]", path, i), err)
	}
	for i, sum := range l.AgentJars {
		if !sha256Form.MatchString(sum) {
			k.problem(fmt.Sprintf("%s.agentJars[%d]", path, i), "want a SHA-256 sum: 64 digits 0-9 and a-f, as sha256sum prints it")
		}
	}
}
