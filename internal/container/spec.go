// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Defaults of [Spec].
const (
	defaultReadyWithin = 3 * time.Minute // a controller without plugins takes 10 to 40 s on two cores
	defaultBind        = "127.0.0.1"
	defaultPort        = 8080
	defaultMemory      = 2 << 30
	defaultPIDs        = 1024 // threads count: an idle controller has about 60
)

// Spec says which controller is wanted. Exactly one of Image and War is filled in.
type Spec struct {
	Image Image
	War   War

	// Bind is the address on which it listens, with a port if it must be that one: "10.0.0.5" or "10.0.0.5:8080". Default: 127.0.0.1 and a
	// free port.
	Bind string
	// AdvertiseURL is the root URL by which agents on other machines reach it. Default: the address that it is bound to.
	AdvertiseURL string

	Seed        Seed
	JavaOptions []string      // for the Java machine, such as -Xmx512m
	ReadyWithin time.Duration // from its start until it is ready; default 3 min
	Log         io.Writer     // gets all that it prints, from one goroutine; may be nil
	Owner       Owner         // whose it is; default: this process
}

// Image is a controller in a container.
type Image struct {
	// Name of the image. With an Archive it may be empty, if that holds one image only.
	Name string
	// Archive is a file as `docker save` or `podman save` write it. It is loaded first, and its images stay with the engine.
	Archive string
	// Pull has the engine fetch an image that it does not have.
	Pull bool

	Engine  string // socket or URL of the engine; default: see [Sockets]
	Network string // of the engine: the container gets an address there, and no port is published
	Port    int    // on which the controller listens inside; default 8080
	Limits  Limits
	// AnswerWithin is how long the engine may take to answer, but for what it loads or pulls; default 1 min.
	AnswerWithin time.Duration
}

// Limits of a container. Zero is the default, anything negative is no limit.
type Limits struct {
	Memory int64   // bytes; default 2 GiB. Java takes a quarter of it for its heap unless told otherwise
	CPUs   float64 // default: no limit
	PIDs   int64   // processes and threads; default 1024
}

// War is a controller in a process of this machine.
type War struct {
	File string // jenkins.war
	Java string // program; default: java on the PATH
	Dir  string // its home is made in here; default: the directory for temporary files
}

// origin names what the controller is made from, for messages.
func (s Spec) origin() string {
	switch {
	case s.War.File != "":
		return "war " + s.War.File
	case s.Image.Name != "":
		return "image " + s.Image.Name
	default:
		return "archive " + s.Image.Archive
	}
}

// Check says what is wrong with the spec, as Start would before it begins: also that a file is not there.
func (s Spec) Check() error {
	_, err := s.withDefaults()
	for _, file := range []string{s.War.File, s.Image.Archive} {
		if err != nil || file == "" {
			continue
		}
		var found os.FileInfo
		if found, err = os.Stat(file); err == nil && found.IsDir() {
			err = fmt.Errorf("%s is a directory", file)
		}
	}
	return err
}

// withDefaults checks the spec and fills in what it leaves open.
func (s Spec) withDefaults() (Spec, error) {
	image := s.Image.Name != "" || s.Image.Archive != ""
	switch {
	case image && s.War.File != "":
		return s, errors.New("give an image or a war, not both")
	case !image && s.War.File == "":
		return s, errors.New("give an image, an archive with one, or a war")
	}
	if s.Bind == "" {
		s.Bind = defaultBind
	}
	if s.ReadyWithin <= 0 {
		s.ReadyWithin = defaultReadyWithin
	}
	if s.Log == nil {
		s.Log = io.Discard
	}
	if s.Owner == (Owner{}) {
		s.Owner = Self("")
	}
	if s.Image.Port == 0 {
		s.Image.Port = defaultPort
	}
	s.Image.Limits = s.Image.Limits.withDefaults()
	if s.War.Java == "" {
		s.War.Java = "java"
	}
	if s.War.Dir == "" {
		s.War.Dir = os.TempDir()
	}
	var err error
	if s.Seed, err = s.Seed.withDefaults(); err != nil {
		return s, err
	}
	return s, errors.Join(s.checkAddresses(), s.Image.check())
}

func (l Limits) withDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = defaultMemory
	}
	if l.PIDs == 0 {
		l.PIDs = defaultPIDs
	}
	return Limits{Memory: max(l.Memory, 0), CPUs: max(l.CPUs, 0), PIDs: max(l.PIDs, -1)}
}

// check refuses networks in which the container would not have an address of its own.
func (i Image) check() error {
	mode, _, _ := strings.Cut(i.Network, ":")
	switch mode {
	case "host", "none", "container", "ns", "pasta", "slirp4netns":
		return fmt.Errorf("network %s: name a network of the engine in which the container has an address of its own", i.Network)
	}
	return nil
}

// checkAddresses also looks at what would only show after minutes.
func (s Spec) checkAddresses() error {
	host, port := s.bound()
	if _, err := strconv.ParseUint(port, 10, 16); net.ParseIP(host) == nil || port != "" && err != nil {
		return fmt.Errorf("bind %q: want an IP address, with or without a port", s.Bind)
	}
	if s.AdvertiseURL == "" {
		return nil
	}
	u, err := url.Parse(s.AdvertiseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New("advertised URL: want http:// or https:// and a host, without credentials")
	}
	return nil
}

// bound is the address to listen on; port is empty if any free one will do.
func (s Spec) bound() (host, port string) {
	if host, port, err := net.SplitHostPort(s.Bind); err == nil {
		if port == "0" {
			port = ""
		}
		return host, port
	}
	return strings.Trim(s.Bind, "[]"), ""
}

// reachable is where we ask a controller that listens on all addresses.
func reachable(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if ip.To4() == nil {
			return "::1"
		}
		return defaultBind
	}
	return host
}

// root is the URL of a controller that listens there.
func root(host, port string) string { return "http://" + net.JoinHostPort(host, port) }
