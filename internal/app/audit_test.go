// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestWhatAdminsDoIsInTheAuditTrail(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	d := s.run()
	for _, order := range []struct{ method, path, body string }{
		{http.MethodPost, "/api/v1/tokens", `{"name":"nightly","role":"viewer"}`},
		{http.MethodDelete, "/api/v1/tokens/nightly", ""},
		{http.MethodPost, "/api/v1/backup", fmt.Sprintf(`{"path":%q}`, s.path("copy.db"))},
		{http.MethodPost, "/api/v1/reload", ""},
	} {
		if status, text := d.ask(order.method, order.path, order.body); status >= 300 {
			t.Fatalf("%s %s was answered %d: %s", order.method, order.path, status, text)
		}
	}
	s.edit("poll: 100ms", "pole: 100ms")
	if err := d.Reload(t.Context(), "SIGHUP"); err == nil {
		t.Error("a bad configuration was taken")
	}
	s.edit("pole: 100ms", "poll: 200ms")
	if err := d.Reload(t.Context(), "SIGHUP"); err != nil {
		t.Error(err)
	}
	events, err := d.Store().Events(t.Context(), store.EventFilter{Types: []hygiene.EventType{
		hygiene.EventTokenMade, hygiene.EventTokenRevoked, hygiene.EventBackup, hygiene.EventConfig, hygiene.EventConfigTaken,
	}})
	must(t, err)
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %s by %s", e.Type, e.Subject, e.Actor))
		if e.At.IsZero() {
			t.Errorf("%s has no time", e.Type)
		}
	}
	want := []string{
		"token.created local-admin by pitcrew", "token.created nightly by local-admin", "token.revoked nightly by local-admin",
		"store.backup store by local-admin", "config.reloaded configuration by local-admin",
		"config.rejected configuration by SIGHUP", "config.reloaded configuration by SIGHUP",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(events)
	must(t, err)
	if strings.Contains(string(text), "pitcrew_") {
		t.Errorf("the audit trail holds a secret: %s", text)
	}
	if last := events[len(events)-1]; !strings.Contains(last.Reason, "changed: ") {
		t.Errorf("the reload is told by %q", last.Reason)
	}
}
