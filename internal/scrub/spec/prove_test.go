// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestAddressesAreRead(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]spec.Address{
		"tcp://gerrit.example:29418":       {Scheme: "tcp", Host: "gerrit.example", Port: 29418, Path: "/"},
		"http://mirror.example":            {Scheme: "http", Host: "mirror.example", Port: 80, Path: "/"},
		"https://r.example/v2/":            {Scheme: "https", Host: "r.example", Port: 443, Path: "/v2/"},
		"http://[2001:db8::1]:8080//a?b=c": {Scheme: "http", Host: "2001:db8::1", Port: 8080, Path: "//a?b=c"},
		"http://[::1]?q=1":                 {Scheme: "http", Host: "::1", Port: 80, Path: "/?q=1"},
		"ntp://time.example":               {Scheme: "ntp", Host: "time.example", Port: 123, Path: "/"},
		"tcp://10.0.0.1:22/":               {Scheme: "tcp", Host: "10.0.0.1", Port: 22, Path: "/"},
	} {
		if got, err := spec.ParseAddress(url); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", url, got, err, want)
		}
	}
	const form = "want a URL as tcp://host:port, ntp://host, http://host/path or https://host/path"
	for url, want := range map[string]string{
		"": form, "example": form, "ftp://x/": form, "http://a b/": form, "http://a/#b": form, "http://a/\\r\\n": form, "http://ü/": form,
		"http://": "it names no host", "http://:80/": "it names no host", "http://-o/": "it names no host", "tcp://a": "it names no port, as in tcp://host:22",
		"tcp://a:0": `"0" is no port`, "tcp://a:70000": `"70000" is no port`, "tcp://a:x": `"x" is no port`, "tcp://a:1/b": "tcp knows no path",
		"http://u:p@a/": "a recipe is no secret: leave user and password out",
	} {
		if got, err := spec.ParseAddress(url); err == nil || err.Error() != want {
			t.Errorf("%q: %+v, %v; want %s", url, got, err, want)
		}
	}
}
