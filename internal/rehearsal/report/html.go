// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed page.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"short":      short,
	"complaints": Case.complaints,
	"reasons":    Report.reasons,
	"log": func(text string) string { // a line that was written over itself, as progress is, is as many lines
		return valid(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"))
	},
	"about": func(a Agent) string {
		return strings.Join(present("pool "+a.Pool, a.OS, a.Arch, a.Profile), " · ")
	},
}).Parse(pageText))

// HTML returns r as one page that needs nothing else: no script, no other file.
func HTML(r Report) ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, r); err != nil {
		return nil, fmt.Errorf("page of rehearsal %s: %w", r.ID, err)
	}
	return b.Bytes(), nil
}
