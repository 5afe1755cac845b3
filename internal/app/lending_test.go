// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

// TestAgentsOnLoanTrustWhatPitcrewTrustsAtTheBorrower: else the daemon makes a node there, and no agent ever connects to it.
func TestAgentsOnLoanTrustWhatPitcrewTrustsAtTheBorrower(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	ca, bundle := write("ca.pem", append([]byte("# ours\n"), authority...)), write("bundle.pem", bytes.Repeat(authority, 100))
	var log bytes.Buffer
	a := &App{Options: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, metrics: newMetrics()}
	borrower := func(name, file string) config.Borrower {
		return config.Borrower{Name: name, URL: server.URL, Login: &config.Login{User: "x"}, TLS: &config.ClientTLS{CA: file}}
	}
	plain := borrower("plain", ca)
	plain.TLS = nil
	served := &crewRun{config: config.Controller{TLS: &config.ClientTLS{CA: ca}}}
	all, clients, err := a.makeBorrowers(&config.Config{Borrowers: []config.Borrower{
		borrower("private", ca), borrower("many", bundle), plain, {Name: "served", Controller: "ci"},
	}}, map[string]*crewRun{"ci": served})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		defer c.Close()
	}
	for name, want := range map[string]string{"private": string(authority), "served": string(authority), "many": "", "plain": ""} {
		if got := all[name].Certificates; got != want {
			t.Errorf("agents of %s are to trust\n%s", name, got)
		}
	}
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "borrower=many") || !strings.Contains(said, bundle) {
		t.Errorf("it said\n%s", said)
	}
}
