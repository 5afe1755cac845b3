// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"iter"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// checker finds what is well-formed but makes no sense. It runs even after the decoder found problems, so that all of
// them are seen at once, and says nothing more about a setting that has one already.
type checker struct {
	config   *Config
	dec      *decoder
	warnings findings
}

func (k *checker) run() {
	c := k.config
	k.checkAPI()
	k.must("labels", hygiene.Names(c.Labels).Validate())
	if c.Owner != "" {
		k.must("owner", validName(c.Owner))
	}
	k.atLeast("retention.events", c.Retention.Events, day)
	k.atLeast("retention.attempts", c.Retention.Attempts, day)
	k.atLeast("retention.logs", c.Retention.Logs, time.Hour)
	k.uniqueNames("controllers", namesOf(c.Controllers, func(x Controller) string { return x.Name }))
	k.uniqueNames("recipes", namesOf(c.Recipes, func(x Recipe) string { return x.Name }))
	k.uniqueNames("pools", namesOf(c.Pools, func(x Pool) string { return x.Name }))
	k.uniqueNames("borrowers", namesOf(c.Borrowers, func(x Borrower) string { return x.Name }))
	k.uniqueNames("notifications", namesOf(c.Notifications, func(x Notification) string { return x.Name }))
	for i := range c.Controllers {
		k.controller(&c.Controllers[i], fmt.Sprintf("controllers[%d]", i))
	}
	for i := range c.Pools {
		k.pool(i)
	}
	for i := range c.Borrowers {
		k.borrower(&c.Borrowers[i], fmt.Sprintf("borrowers[%d]", i))
	}
	for i := range c.Notifications {
		k.notification(&c.Notifications[i], fmt.Sprintf("notifications[%d]", i))
	}
	k.unused()
}

func namesOf[T any](list []T, name func(T) string) []string {
	var all []string
	for _, x := range list {
		all = append(all, name(x))
	}
	return all
}

// at returns the place of a setting, or of the nearest section around it that is in the file.
func (k *checker) at(path string) place {
	for path != "" {
		if p, ok := k.dec.places[path]; ok {
			return p
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return place{1, 1}
}

func (k *checker) problem(path, format string, args ...any) {
	k.problemAt(k.at(path), path, fmt.Sprintf(format, args...))
}

func (k *checker) problemAt(p place, path, msg string) {
	if !k.broken(path) {
		k.dec.found.add(k.dec.src.problem(p, path, msg))
	}
}

func (k *checker) warn(path, msg string) {
	k.warnings.add(k.dec.src.problem(k.at(path), path, msg))
}

func (k *checker) must(path string, err error) {
	if err != nil {
		k.problem(path, "%v", err)
	}
}

func (k *checker) atLeast(path string, d Duration, least time.Duration) {
	if d.Std() < least {
		k.problem(path, "must be at least %s", Duration(least))
	}
}

const maxName = 63

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// validName holds for names that become parts of paths, metrics and keys.
func validName(name string) error {
	if len(name) > maxName || !nameForm.MatchString(name) {
		return fmt.Errorf("want up to %d letters, digits, dots, dashes and underscores, the first one a letter or digit", maxName)
	}
	return nil
}

func (k *checker) uniqueNames(list string, names []string) {
	for i, name := range names {
		path := fmt.Sprintf("%s[%d].name", list, i)
		if _, given := k.dec.places[path]; !given {
			continue // already reported as missing
		}
		k.must(path, validName(name))
		if slices.Contains(names[:i], name) {
			k.problem(path, "a second %q", name)
		}
	}
}

// broken reports whether a setting is there but could not be read.
func (k *checker) broken(path string) bool { return k.dec.found.paths[path] }

func (k *checker) checkAPI() {
	api := k.config.API
	host, port, err := net.SplitHostPort(api.Listen)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		k.problem("api.listen", "want an address and a port, such as 127.0.0.1:8473")
		return
	}
	if api.URL != "" {
		k.must("api.url", checkURL(api.URL))
	}
	if api.TLS == nil && !isLoopback(host) {
		k.warn("api.listen", "others can reach this address, and without api.tls they can read the tokens on the way")
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// unused warns of what can have no effect.
func (k *checker) unused() {
	c := k.config
	if len(c.Controllers) == 0 {
		k.warn("controllers", "no controller is configured: there is nothing to do")
	} else if len(c.Pools) == 0 {
		k.warn("pools", "no pool is configured: there is nothing to do")
	}
	for i, r := range c.Recipes {
		if !slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.Recipe == r.Name }) {
			k.warn(fmt.Sprintf("recipes[%d]", i), "no pool uses this recipe")
		}
	}
}

// refers checks that every name in a list is one of known.
func (k *checker) refers(path, what string, list, known []string) {
	for i, name := range list {
		if !slices.Contains(known, name) {
			k.problem(fmt.Sprintf("%s[%d]", path, i), "no %s is called %q%s", what, name, didYouMean(name, known))
		}
	}
}

func (c *Config) controllerNames() []string {
	return namesOf(c.Controllers, func(x Controller) string { return x.Name })
}

func (c *Config) poolNames() []string {
	return namesOf(c.Pools, func(x Pool) string { return x.Name })
}

// secrets lists the references by path.
func (c *Config) secrets() iter.Seq2[string, Secret] {
	return func(yield func(string, Secret) bool) {
		for path, v := range leaves(c) {
			var s Secret
			switch x := v.Interface().(type) {
			case Secret:
				s = x
			case Endpoint:
				s = x.secret
			}
			if !s.IsZero() && !yield(path, s) {
				return
			}
		}
	}
}
