// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Ignore says what makes no difference: patterns of keys, by kind. In a pattern * is any text, slashes included, ? is
// one character, and everything else is itself.
type Ignore struct {
	Packages []string `yaml:"packages" json:"packages,omitempty"`
	Services []string `yaml:"services" json:"services,omitempty"`
	Mounts   []string `yaml:"mounts" json:"mounts,omitempty"`
	Users    []string `yaml:"users" json:"users,omitempty"`
	Groups   []string `yaml:"groups" json:"groups,omitempty"`
	Files    []string `yaml:"files" json:"files,omitempty"`
	Ports    []string `yaml:"ports" json:"ports,omitempty"` // such as "tcp 127.0.0.1:*" and "unix /run/user/*"
	Facts    []string `yaml:"facts" json:"facts,omitempty"`
	// EphemeralPorts is the first port number that the kernel gives away by itself: it and those above make no
	// difference. 0 is none.
	EphemeralPorts int `yaml:"ephemeralPorts" json:"ephemeralPorts,omitempty"`
}

// ParseIgnore reads rules as people write them, KIND:PATTERN, such as file:/var/cache/*. An error names what is wrong with each.
func ParseIgnore(rules []string) (Ignore, error) {
	var i Ignore
	var errs []error
	for _, rule := range rules {
		kind, pattern, ok := strings.Cut(rule, ":")
		list := i.list(Kind(kind))
		if !ok || list == nil {
			names := make([]string, len(kinds))
			for n, k := range kinds {
				names[n] = string(k)
			}
			errs = append(errs, fmt.Errorf("%q: want KIND:PATTERN, the kind one of %s", rule, strings.Join(names, ", ")))
			continue
		}
		*list = append(*list, pattern)
	}
	return i, errors.Join(append(errs, i.Validate())...)
}

// DefaultIgnore returns what differs between any two looks at a machine that is at rest.
func DefaultIgnore() Ignore {
	return Ignore{
		Services: []string{
			"*.scope", "*.device", "user@*", "user-runtime-dir@*", "user-*.slice", "run-*.mount", "var-lib-containers-*", "var-lib-docker-*",
			"systemd-tmpfiles-clean.service", "systemd-hostnamed.service", "systemd-timedated.service", "systemd-localed.service",
			"*-daily*.service", "logrotate.service", "man-db.service", "fstrim.service", "sysstat-*.service", "packagekit.service",
		},
		Mounts: []string{"/run/user/*", "/run/credentials/*", "/proc/sys/fs/binfmt_misc"},
		Files: []string{
			"/tmp/hsperfdata_*", "*/.pitcrew*", "/tmp/systemd-private-*", "/tmp/.X11-unix*", "/tmp/ssh-*/agent.*", "*/remoting/logs/*", "*/.bash_history",
		},
		Ports:          []string{"unix @*", "unix /run/user/*", "unix /tmp/ssh-*", "unix /run/systemd/*"},
		EphemeralPorts: 32768,
	}
}

// list is the one of a kind; nil if there is no such kind.
func (i *Ignore) list(k Kind) *[]string {
	switch k {
	case Package:
		return &i.Packages
	case Service:
		return &i.Services
	case Mount:
		return &i.Mounts
	case User:
		return &i.Users
	case Group:
		return &i.Groups
	case File:
		return &i.Files
	case Port:
		return &i.Ports
	case Fact:
		return &i.Facts
	}
	return nil
}

func (i Ignore) patterns(k Kind) []string {
	if list := i.list(k); list != nil {
		return *list
	}
	return nil
}

func (i Ignore) has(k Kind, key string) bool {
	if k == Port && i.EphemeralPorts > 0 {
		_, at, _ := strings.Cut(key, " ")
		if a, err := netip.ParseAddrPort(at); err == nil && int(a.Port()) >= i.EphemeralPorts {
			return true
		}
	}
	return slices.ContainsFunc(i.patterns(k), func(p string) bool { return matches(p, key) })
}

// And returns what i or o ignores. The lower of two first ephemeral ports counts.
func (i Ignore) And(o Ignore) Ignore {
	sum := Ignore{
		slices.Concat(i.Packages, o.Packages), slices.Concat(i.Services, o.Services), slices.Concat(i.Mounts, o.Mounts),
		slices.Concat(i.Users, o.Users), slices.Concat(i.Groups, o.Groups), slices.Concat(i.Files, o.Files),
		slices.Concat(i.Ports, o.Ports), slices.Concat(i.Facts, o.Facts), i.EphemeralPorts,
	}
	if o.EphemeralPorts > 0 && (sum.EphemeralPorts == 0 || o.EphemeralPorts < sum.EphemeralPorts) {
		sum.EphemeralPorts = o.EphemeralPorts
	}
	return sum
}

// maxPatterns bounds the patterns of a kind, and maxPattern the length of one.
const (
	maxPatterns = 1000
	maxPattern  = 1000
)

// Validate returns every reason why i cannot be used.
func (i Ignore) Validate() error {
	var errs []error
	for _, k := range kinds {
		all := i.patterns(k)
		if len(all) > maxPatterns {
			errs = append(errs, fmt.Errorf("%ss to ignore: %d patterns, at most %d can be given", k, len(all), maxPatterns))
		}
		for n, p := range all {
			switch {
			case strings.TrimSpace(p) == "":
				errs = append(errs, fmt.Errorf("%ss to ignore: pattern %d is empty", k, n+1))
			case strings.Trim(p, "*") == "":
				errs = append(errs, fmt.Errorf("%ss to ignore: pattern %q is all of them: nothing would be compared", k, p))
			case len(p) > maxPattern:
				errs = append(errs, fmt.Errorf("%ss to ignore: pattern %.40q has more than %d characters", k, p, maxPattern))
			case k == File && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "*"):
				errs = append(errs, fmt.Errorf("files to ignore: pattern %q matches no path: begin it with / or *", p))
			}
		}
	}
	if i.EphemeralPorts < 0 || i.EphemeralPorts > 65535 {
		errs = append(errs, fmt.Errorf("ephemeralPorts is %d: want a port number, or 0 for none", i.EphemeralPorts))
	}
	return errors.Join(errs...)
}

// matches says whether s is of pattern p, in time of their product at most.
func matches(p, s string) bool {
	pr, sr := []rune(p), []rune(s)
	pi, si, star, from := 0, 0, -1, 0
	for si < len(sr) {
		switch {
		case pi < len(pr) && pr[pi] == '*':
			star, from = pi, si
			pi++
		case pi < len(pr) && (pr[pi] == '?' || pr[pi] == sr[si]):
			pi++
			si++
		case star >= 0:
			from++
			pi, si = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(string(pr[pi:]), "*") == ""
}
