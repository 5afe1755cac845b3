// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// The document in docs is made by the API itself: run this test with -update.
func TestTheCommittedDocumentIsTheServedOne(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *api.Options) { o.Version = api.Version{Version: "1"} })
	w := h.ask(t, "", http.MethodGet, "/api/openapi.json", "")
	status(t, w, http.StatusOK)
	golden(t, filepath.Join("..", "..", "docs", "openapi.json"), w.Body.Bytes())
}

func TestTheDocumentIsWholeInBothSpellings(t *testing.T) {
	t.Parallel()
	h := setup(t)
	w := h.ask(t, "", http.MethodGet, "/api/openapi.yaml", "")
	status(t, w, http.StatusOK)
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/openapi+yaml") {
		t.Errorf("content type %q", w.Header().Get("Content-Type"))
	}
	for _, o := range h.operations(t) {
		if !strings.Contains(w.Body.String(), o.ID) {
			t.Errorf("operation %s is missing in the YAML", o.ID)
		}
		if o.Summary == "" || len(o.Tags) != 1 {
			t.Errorf("operation %s: want a summary and one tag, got %q and %q", o.ID, o.Summary, o.Tags)
		}
		for _, name := range strings.Split(o.Path, "{")[1:] {
			name, _, _ = strings.Cut(name, "}")
			if !slices.ContainsFunc(o.Parameters, func(p parameter) bool { return p.Name == name && p.In == "path" }) {
				t.Errorf("operation %s does not read {%s} of its path", o.ID, name)
			}
		}
	}
}

// operation is what the document says about a route.
type operation struct {
	Method, Path string
	ID           string      `json:"operationId"`
	Summary      string      `json:"summary"`
	Tags         []string    `json:"tags"`
	Parameters   []parameter `json:"parameters"`
}

type parameter struct{ Name, In string }

func (h *house) operations(t *testing.T) []operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	w := h.ask(t, "", http.MethodGet, "/api/openapi.json", "")
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatalf("read document: %v", err)
	}
	var all []operation
	for path, methods := range doc.Paths {
		for method, o := range methods {
			o.Method, o.Path = strings.ToUpper(method), path
			all = append(all, o)
		}
	}
	return all
}
