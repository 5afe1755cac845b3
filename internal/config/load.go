// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxFile bounds the file, in bytes.
const maxFile = 1 << 20

// Load reads the configuration file at path, fills in what depends on this host, and looks at the permissions of
// secret files. What is wrong with the content is an [*Error].
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	if c.Owner == "" {
		if c.Owner, err = hostOwner(); err != nil {
			return nil, err
		}
	}
	c.warnings = append(c.warnings, exposures(c, path)...)
	return c, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	return data, err
}

// Parse reads a configuration from data, without looking at this host; file is its name, for messages, and relative
// paths in it start at the directory of file. What is wrong is an [*Error].
func Parse(file string, data []byte) (*Config, error) {
	data = []byte(lineBreaks.Replace(strings.TrimPrefix(string(data), "\ufeff"))) // editors on Windows write the mark
	src := newSource(file, data)
	dec := newDecoder(src)
	c := &Config{}
	dec.document(data, c)
	check := &checker{config: c, dec: dec}
	if len(dec.places) > 0 && !dec.gaveUp {
		check.run()
	}
	if len(dec.found.problems) > 0 {
		bad := &Error{Problems: src.finish(dec.found)}
		if !dec.gaveUp {
			c.resolvePaths(filepath.Dir(file))
			bad.read = c
		}
		return nil, bad
	}
	c.warnings = src.finish(check.warnings)
	c.resolvePaths(filepath.Dir(file))
	return c, nil
}

// lineBreaks turns all line breaks that YAML knows into one, so that the parser and the excerpts count alike.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")

var notOwner = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// hostOwner derives the default owner from the name of the host.
func hostOwner() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("derive owner, set it in the configuration: %w", err)
	}
	owner := strings.Trim(notOwner.ReplaceAllString(host, "-"), "-._")
	if owner == "" {
		owner = "pitcrew"
	}
	return owner[:min(len(owner), maxName)], nil
}

// resolvePaths makes relative paths start at dir.
func (c *Config) resolvePaths(dir string) {
	paths := []*string{&c.Data}
	for i := range c.Recipes {
		paths = append(paths, &c.Recipes[i].File)
	}
	for _, f := range c.files() {
		paths = append(paths, f)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// files yields the settings that name a file which must be there, but for recipes.
func (c *Config) files() iter.Seq2[string, *string] {
	return func(yield func(string, *string) bool) {
		if tls := c.API.TLS; tls != nil && (!yield("api.tls.cert", &tls.Cert) || !yield("api.tls.key", &tls.Key)) {
			return
		}
		for i := range c.Controllers {
			tls, path := c.Controllers[i].TLS, fmt.Sprintf("controllers[%d].tls.", i)
			if tls != nil && (!yield(path+"ca", &tls.CA) || !yield(path+"cert", &tls.Cert) || !yield(path+"key", &tls.Key)) {
				return
			}
		}
		for i := range c.Pools {
			if ssh := c.Pools[i].SSH; ssh != nil && !yield(fmt.Sprintf("pools[%d].ssh.knownHosts", i), &ssh.KnownHosts) {
				return
			}
		}
	}
}

// Missing returns a problem for each file that the configuration names and this user cannot open.
// Recipes and secrets are not looked at. file is the configuration's, for the message.
func (c *Config) Missing(file string) []Problem {
	var problems []Problem
	for path, name := range c.files() {
		if *name == "" {
			continue
		}
		f, err := os.Open(*name)
		if err != nil {
			problems = append(problems, Problem{File: file, Path: path, Msg: err.Error()})
			continue
		}
		_ = f.Close() // nothing was written
	}
	return problems
}

// Absent returns a problem for each secret whose file is not there. It may be on another machine, and whether the daemon
// may read one that is there only the daemon's user can tell: so these deserve a look, no more. file is the
// configuration's, for the message.
func (c *Config) Absent(file string) []Problem {
	var problems []Problem
	for path, s := range c.secrets() {
		name, err := s.path()
		if err != nil || name == "" {
			continue
		}
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, Problem{File: file, Path: path, Msg: name + ": no such file"})
		}
	}
	return problems
}

// exposures warns of secret files that everybody may read.
func exposures(c *Config, file string) []Problem {
	var warnings []Problem
	for path, s := range c.secrets() {
		if msg := s.exposure(); msg != "" {
			warnings = append(warnings, Problem{File: file, Path: path, Msg: msg})
		}
	}
	return warnings
}
