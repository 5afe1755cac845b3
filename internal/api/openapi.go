// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// humaConfig serves no document by itself: its pages would load scripts from elsewhere, and its
// documents are made during the first requests, by several at once.
func humaConfig(v Version) huma.Config {
	c := huma.DefaultConfig("pitcrew", v.Version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil // no "$schema" in bodies
	c.Transformers = append(c.Transformers, repeatNoBody)
	c.Info.Description = "Services Jenkins agents out of band. Times are RFC 3339 in UTC; absent means never or unknown."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "A token made with \"pitcrew token create\"."},
	}
	return c
}

// specification is the OpenAPI document in both spellings.
type specification struct{ asJSON, asYAML []byte }

// describe spells the document. It can only fail for types that no JSON can be made of, which is a
// mistake that every test of this package meets.
func describe(doc *huma.OpenAPI) specification {
	asJSON, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("api: describe operations: %v", err))
	}
	asYAML, err := doc.YAML()
	if err != nil {
		panic(fmt.Sprintf("api: describe operations: %v", err))
	}
	return specification{asJSON: append(asJSON, '\n'), asYAML: asYAML}
}

func (s specification) json(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(s.asJSON) // a client that left needs no answer
}

func (s specification) yaml(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+yaml")
	_, _ = w.Write(s.asYAML)
}
