// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhichJenkinsARehearsalHasIsChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const certificate = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
	ca, key := write("ca.pem", "# ours\n"+certificate), write("key.pem", "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n")
	for _, tc := range []struct {
		e    ephemeral
		want string // of the error, "" = none
	}{
		{ephemeral{image: "jenkins"}, ""},
		{ephemeral{archive: ca}, ""},
		{ephemeral{archive: filepath.Join(dir, "no.tar")}, "no.tar: no such file"},
		{ephemeral{war: filepath.Join(dir, "no.war")}, "no.war: no such file"},
		{ephemeral{image: "jenkins", bind: "bogus"}, `bind "bogus": want an IP address`},
		{ephemeral{image: "jenkins", network: "host"}, "network host: "},
		{ephemeral{image: "jenkins", advertise: "jenkins.test"}, "advertised URL: "},
		{ephemeral{image: "jenkins", bind: "127.0.0.1:65536"}, `bind "127.0.0.1:65536": want an IP address`},
		{ephemeral{image: "jenkins", bind: "127.0.0.1:65535"}, ""},
		{ephemeral{archive: dir}, "is a directory"},
		{ephemeral{war: dir}, "is a directory"},
		{ephemeral{image: "jenkins", bind: "127.0.0.1", network: "ci"}, "--bind goes with a Jenkins that is started, and not into a --network"},
		{ephemeral{image: "jenkins", java: "java"}, "--java goes with --war"},
		{ephemeral{image: "jenkins", user: "ci"}, "--controller-user goes with --controller-url"},
		{ephemeral{image: "jenkins", tokenFile: ca}, "--controller-token-file goes with --controller-url"},
		{ephemeral{archive: ca, pull: true}, "--pull goes with --image"},
		{ephemeral{war: ca, network: "ci"}, "--network goes with --image or --archive"},
		{ephemeral{war: ca, engine: "/run/podman/podman.sock"}, ""},
		{ephemeral{url: "https://jenkins.test/", user: "ci", engine: "/run/podman/podman.sock"}, "--engine goes with a Jenkins that is started"},
		{ephemeral{url: "https://jenkins.test/", user: "ci", bind: "127.0.0.1"}, "--bind goes with a Jenkins that is started"},
		{ephemeral{}, "say which Jenkins"},
		{ephemeral{image: "jenkins", war: "jenkins.war"}, "say which Jenkins"},
		{ephemeral{url: "https://jenkins.test/"}, "--controller-user"},
		{ephemeral{url: "https://jenkins.test/", user: "ci", ca: ca}, ""},
		{ephemeral{war: "jenkins.war", ca: ca}, "--controller-ca goes with --controller-url"},
		{ephemeral{url: "https://jenkins.test/", user: "ci", ca: filepath.Join(dir, "none")}, "--controller-ca: open "},
		{ephemeral{url: "https://jenkins.test/", user: "ci", ca: key}, "key.pem: no certificate in it"},
	} {
		err := tc.e.check()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.e, err, tc.want)
		}
		if want := map[bool]string{true: certificate}[tc.e.ca == ca && tc.want == ""]; tc.e.authorities != want {
			t.Errorf("%+v: agents are to trust %q", tc.e, tc.e.authorities)
		}
	}
}
