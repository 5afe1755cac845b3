// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
)

// Containers asks that the container engines of this machine hold nothing that is owned: containers and Podman's pods,
// volumes, networks, and by policy images and what builds have cached.
//
// A thing is owned by one of its labels, by its name as a whole, or with All. What survives whatever else is true of it:
// the container that this program or an agent lives in, with the rest of its pod; what Keep names; and what those and
// the containers of others need: their networks, volumes and images, and the containers they share something with.
type Containers struct {
	// All says that the engines belong to continuous integration as a whole, and everything in them is owned.
	All bool `json:"all,omitempty"`
	// Sockets are the paths at which engines listen; the usual ones of Docker and Podman if there is none.
	Sockets []string `json:"sockets,omitempty"`
	// Keep are patterns (as in path.Match) of whole names of containers, pods, volumes and networks that stay.
	Keep []string `json:"keep,omitempty"`
	// Images has owned images go; nil leaves all images.
	Images *Images `json:"images,omitempty"`
	// BuildCache has the build cache go, which bears no marks of who caused it: it asks for All. nil leaves it.
	BuildCache *BuildCache `json:"buildCache,omitempty"`
}

// Images is a policy for images that are owned. They go when they are too old or while there are too many; without
// either limit all go.
type Images struct {
	// Keep are references to images that stay, with those that they were built from; see Reference.
	Keep []string `json:"keep,omitempty"`
	// Older has images go that were pulled, named or built longer ago; 0 has none go for its age.
	Older Seconds `json:"older,omitempty"`
	// Size is how many bytes all images of an engine may hold together; the oldest go first. 0 is any number.
	Size int64 `json:"size,omitempty"`
}

// BuildCache is a policy for what builds have cached; without either limit all of it goes.
type BuildCache struct {
	// Older has records go that were used longer ago; 0 has none go for its age.
	Older Seconds `json:"older,omitempty"`
	// Size is how many bytes the cache may hold; 0 is any number.
	Size int64 `json:"size,omitempty"`
}

// Labelled reports whether one of the labels is owned. An owned label without a value is owned with every value.
func (o Ownership) Labelled(labels map[string]string) bool {
	for _, owned := range o.Labels {
		key, want, exact := strings.Cut(owned, "=")
		if value, there := labels[key]; there && (!exact || value == want) {
			return true
		}
	}
	return false
}

// Reference says which images are meant: those of a repository, of one tag or digest of it, or of all repositories
// below a prefix.
//
//	centos                      all of a repository; of Docker's own registry, or of none
//	centos:7                    one tag
//	quay.io/ci/tools            a repository of another registry
//	quay.io/ci/                 everything below a prefix, which ends with a slash
//	quay.io/ci/*:lts            a pattern (as in path.Match) of either part
//	tools@sha256:0123...        one digest; with a tag as well, the digest counts
//	sha256:0123...              a digest or identity wherever it comes from
type Reference struct {
	repository, tag, digest string
	prefix                  bool
}

// ParseReference reads a reference.
func ParseReference(text string) (Reference, error) {
	if strings.HasPrefix(text, "sha256:") {
		return Reference{digest: text}, checkDigest(text)
	}
	name, digest, byDigest := strings.Cut(text, "@")
	if byDigest {
		if err := checkDigest(digest); err != nil {
			return Reference{}, err
		}
	}
	r := Reference{digest: digest}
	r.repository, r.tag = cutTag(name)
	if _, more := cutTag(r.repository); more != "" {
		return Reference{}, errors.New("it has two tags")
	}
	if capital := strings.IndexFunc(withoutRegistry(r.repository), unicode.IsUpper); capital >= 0 {
		return Reference{}, errors.New("names of repositories are in small letters: it would mean no image")
	}
	switch {
	case strings.HasSuffix(r.repository, "/") && r.tag == "" && !byDigest:
		if r.prefix = true; strings.ContainsAny(r.repository, "*?[\\") {
			return Reference{}, errors.New("what ends with a slash is a plain prefix and can have no *, ? or [")
		}
	case r.tag == "" && strings.HasSuffix(name, ":"):
		return Reference{}, errors.New("its tag is empty")
	}
	for _, pattern := range []string{r.repository, r.tag} {
		if _, err := path.Match(pattern, ""); err != nil {
			return Reference{}, errors.New("it is no pattern; a [ wants its ]")
		}
	}
	trimmed := strings.TrimSuffix(r.repository, "/")
	if trimmed == "" || path.Clean(trimmed) != trimmed || trimmed[0] == '/' || trimmed[0] == '.' || strings.ContainsAny(text, " \t\n") || strings.Contains(text, "://") {
		return Reference{}, errors.New("want an image as in centos:7, quay.io/ci/tools, quay.io/ci/, or name@sha256: and a digest")
	}
	if byDigest {
		r.tag = "" // engines pass over the tag of a:1@sha256:... too, and do not name it with the digest
	}
	return r, nil
}

// withoutRegistry takes the host off a name that has one.
func withoutRegistry(repository string) string {
	first, rest, several := strings.Cut(repository, "/")
	if several && (strings.ContainsAny(first, ".:") || first == "localhost") {
		return rest
	}
	return repository
}

func checkDigest(digest string) error {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return fmt.Errorf("want a digest as sha256: and 64 digits of 0-9 and a-f, not %q", digest)
	}
	return nil
}

// cutTag takes the tag off a name: what follows a colon behind the last slash. A registry may have a port.
func cutTag(name string) (repository, tag string) {
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		return name[:colon], name[colon+1:]
	}
	return name, ""
}

// Matches reports whether r means the image that goes by the name, as an engine writes it: repository:tag or
// repository@digest.
func (r Reference) Matches(name string) bool {
	name, digest, _ := strings.Cut(name, "@")
	repository, tag := cutTag(name)
	switch {
	case r.digest != "" && r.digest != digest:
		return false
	case r.repository == "":
		return true
	case r.tag != "" && (digest != "" || !Matches([]string{r.tag}, tag)):
		return false
	}
	for _, known := range spellings(repository) {
		if r.prefix && strings.HasPrefix(known, r.repository) || Matches([]string{r.repository}, known) {
			return true
		}
	}
	return false
}

// Digest returns the digest that r names, "" if it names none.
func (r Reference) Digest() string { return r.digest }

// spellings are the names by which people know a repository: engines write out the registry that people leave away
// (Docker's own, or that of what was built on the machine), or leave it away themselves.
func spellings(repository string) []string {
	all := []string{repository}
	for _, registry := range []string{"localhost/", "docker.io/", "docker.io/library/", "library/"} {
		if short, ok := strings.CutPrefix(repository, registry); ok {
			all = append(all, short)
		}
	}
	first, _, several := strings.Cut(repository, "/")
	switch {
	case !several:
		all = append(all, "docker.io/library/"+repository, "docker.io/"+repository, "library/"+repository)
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		all = append(all, "docker.io/"+repository)
	}
	return all
}

// NamesImage reports whether a name that an engine has for an image is owned: with its tag or without, and as people
// write it too.
func (o Ownership) NamesImage(name string) bool {
	name, _, _ = strings.Cut(name, "@")
	repository, tag := cutTag(name)
	for _, known := range spellings(repository) {
		if o.Named(known) || tag != "" && o.Named(known+":"+tag) {
			return true
		}
	}
	return false
}
