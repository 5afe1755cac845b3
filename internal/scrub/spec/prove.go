// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// KVM asks that the kernel can run virtual machines for the user that builds.
type KVM struct {
	// Nested asks that these can run machines of their own.
	Nested bool `json:"nested,omitempty"`
}

// Reach asks that names are known and that servers answer.
type Reach struct {
	// Names are looked up by the name service of the machine.
	Names   []string   `json:"names,omitempty"`
	Servers []Endpoint `json:"servers,omitempty"`
	// Wait is how long each may take for one try, 0 for 10 seconds; Tries is how often each is tried, 0 for 3 times.
	Wait  Seconds `json:"wait,omitempty"`
	Tries int     `json:"tries,omitempty"`
	// Direct has proxies that the environment names ignored.
	Direct bool `json:"direct,omitempty"`
}

// Endpoint is a server, and what it has to answer.
type Endpoint struct {
	// URL is tcp://host:port, http://host/path or https://host/path.
	URL string `json:"url"`
	// Status are the answers of HTTP that are right; all from 200 to 399 if there is none.
	Status []int `json:"status,omitempty"`
}

// Address is where a URL leads, as far as scrub has to know it.
type Address struct {
	Scheme, Host string // a host in brackets comes without them
	Port         uint16
	// Path is what is behind host and port, with its query.
	Path string
}

// ports are the ports of schemes; one of 0 has to be named.
var ports = map[string]uint16{"tcp": 0, "http": 80, "https": 443, "ntp": 123}

// ParseAddress reads a URL of one of the schemes that scrub speaks.
func ParseAddress(url string) (Address, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	port, known := ports[scheme]
	if !known || strings.ContainsFunc(url, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.ContainsAny(url, `#\"<>^{|}`+"`") {
		return Address{}, errors.New("want a URL as tcp://host:port, ntp://host, http://host/path or https://host/path")
	}
	a := Address{Scheme: scheme, Port: port, Path: "/"}
	host := rest
	if at := strings.IndexAny(rest, "/?"); at >= 0 {
		host, a.Path = rest[:at], "/"+strings.TrimPrefix(rest[at:], "/")
	}
	if strings.Contains(host, "@") {
		return Address{}, errors.New("a recipe is no secret: leave user and password out")
	}
	name, number, hasPort := cutPort(host)
	if hasPort {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return Address{}, fmt.Errorf("%q is no port", number)
		}
		a.Port = uint16(n)
	}
	switch a.Host = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"); {
	case a.Host == "" || strings.HasPrefix(a.Host, "-"):
		return Address{}, errors.New("it names no host")
	case a.Port == 0:
		return Address{}, errors.New("it names no port, as in tcp://host:22")
	case (scheme == "tcp" || scheme == "ntp") && a.Path != "/":
		return Address{}, fmt.Errorf("%s knows no path", scheme)
	}
	return a, nil
}

// cutPort takes the port off; an address with colons stands in brackets.
func cutPort(host string) (name, port string, ok bool) {
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		return host[:at], host[at+1:], true
	}
	return host, "", false
}

// Time asks that the clock of the machine is right.
type Time struct {
	// Against are servers that know the time, as ntp://host, http://host/ or https://host/; the first that answers is
	// believed. Within is by how much the clock may differ from it.
	Against []string `json:"against,omitempty"`
	Within  Seconds  `json:"within,omitempty"`
	// Synchronised asks that the kernel says that something keeps its clock right.
	Synchronised bool `json:"synchronised,omitempty"`
}

// Engine asks that container engines run a container.
type Engine struct {
	// Sockets are where the engines listen; all of the usual places of Docker and Podman if there is none.
	Sockets []string `json:"sockets,omitempty"`
	// Image is an image that the machine has, by its name with a tag, or by its digest. Without a tag it is latest.
	Image string `json:"image"`
	// Run is run in it, in place of what the image would run.
	Run []string `json:"run,omitempty"`
	// Says is what its output holds, on standard output or standard error.
	Says string `json:"says,omitempty"`
	// Network is the name of a network that it is on; none if it is empty.
	Network string `json:"network,omitempty"`
	// Wait is how long it may take until it has exited with 0; 0 for a minute.
	Wait Seconds `json:"wait,omitempty"`
	// Pull has an image pulled that is not there.
	Pull bool `json:"pull,omitempty"`
}

// Wanted returns the image that is meant. It is one: no pattern, and nothing that several could match.
func (e Engine) Wanted() (name string, r Reference, err error) {
	name = e.Image
	if _, tag := cutTag(name); tag == "" && !strings.Contains(name, "sha256:") {
		name += ":latest"
	}
	if r, err = ParseReference(name); err == nil && (strings.ContainsAny(name, "*?[\\") || strings.HasSuffix(e.Image, "/")) {
		err = errors.New("want one image, not several")
	}
	return name, r, err
}
