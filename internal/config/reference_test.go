// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
)

var update = flag.Bool("update", false, "write the schema and the reference page instead of comparing them")

// The schema and the reference page are made of the structs, their tags and their comments. To make them again:
// go generate ./internal/config
func TestReference(t *testing.T) {
	t.Parallel()
	comments := readComments(t)
	schema, err := json.MarshalIndent(reflectSchema(comments), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.json", append(schema, '\n'))
	golden(t, filepath.Join("..", "..", "docs", "config.md"), page(comments))
}

func golden(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of date, run go generate (-file +structs):\n%s", path, cmp.Diff(string(got), string(want)))
	}
}

// readComments maps "Type" and "Type.Field" to their comments.
func readComments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			spec := gen.Specs[0].(*ast.TypeSpec)
			comments[spec.Name.Name] = meaning(spec.Name.Name, gen.Doc.Text())
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, n := range f.Names {
						comments[spec.Name.Name+"."+n.Name] = meaning(n.Name, f.Doc.Text())
					}
				}
			}
		}
	}
	return comments
}

// meaning takes the name, and the verb after it if it says nothing, off a comment: operators do not know our names.
func meaning(name, comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	text = strings.TrimPrefix(text, name+" ")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "is "), "are ")
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// reflectSchema makes the schema. The reflector does not know the defaults of types with a form of their own.
func reflectSchema(comments map[string]string) *jsonschema.Schema {
	r := jsonschema.Reflector{
		Anonymous:                  true,
		ExpandedStruct:             true,
		RequiredFromJSONSchemaTags: true,
		FieldNameTag:               "yaml",
		Mapper:                     textSchema,
		LookupComment: func(t reflect.Type, name string) string {
			if name == "" {
				return comments[t.Name()]
			}
			return comments[t.Name()+"."+name]
		},
	}
	root := r.Reflect(Config{})
	root.Title = "pitcrew configuration"
	setSchemaDefaults(root, reflect.TypeFor[Config](), root.Definitions)
	return root
}

func setSchemaDefaults(s *jsonschema.Schema, t reflect.Type, definitions jsonschema.Definitions) {
	for _, f := range fieldsOf(t) {
		if property, ok := s.Properties.Get(f.name); ok && f.initial != "" && property.Default == nil {
			property.Default = f.initial
			if f.typ.Kind() == reflect.Bool {
				property.Default = f.initial == "true"
			}
		}
		if inner := sectionType(f.typ); inner != nil {
			setSchemaDefaults(definitions[inner.Name()], inner, definitions)
		}
	}
}

// sectionType returns the struct behind a section, an optional section or a list of sections, nil for other types.
func sectionType(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if isSection(t) {
		return t
	}
	return nil
}

// textSchema describes the types with a text form of their own.
func textSchema(t reflect.Type) *jsonschema.Schema {
	text := func(pattern string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Pattern: pattern} }
	switch t {
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			text(`^([0-9]+d)?([0-9.]+(h|m|s|ms|us|µs|ns))*$`), {Type: "integer", Const: 0},
		}}
	case reflect.TypeFor[Share]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{text(`^[0-9]+%?$`), {Type: "integer", Minimum: "0"}}}
	case reflect.TypeFor[Percent]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{text(`^[0-9.]+%?$`), {Type: "number", Minimum: "0", Maximum: "100"}}}
	case reflect.TypeFor[Pause]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "boolean"}, {Type: "string"}}}
	case reflect.TypeFor[Secret]():
		return text(`^(env|file|credential|exec):.+$`)
	case reflect.TypeFor[Endpoint]():
		return text(`^(https?://|env:|file:|credential:|exec:).+$`)
	}
	return nil
}

const pageHead = `<!-- Made of the structs in internal/config by go generate; do not edit. -->

# The configuration file

` + "`pitcrew serve`" + ` reads one YAML file. ` + "`pitcrew init`" + ` writes one to start from, ` + "`pitcrew config check`" + ` reports everything that is
wrong with it, with line and column, ` + "`pitcrew config show`" + ` prints it with all defaults, and ` + "`pitcrew config schema`" + ` prints a
JSON Schema for your editor.

Unknown settings are errors. YAML anchors, aliases and ` + "`<<`" + ` work. Relative paths start at the directory of the file.

**Reload.** On SIGHUP the daemon reads the file again. If it is bad, the old configuration stays in effect and the log
says why. Settings marked with ↻ take effect at the next start only.

**Durations** are written like ` + "`90s`" + `, ` + "`1h30m`" + `, ` + "`14d`" + ` or ` + "`1d12h`" + `; ` + "`0`" + ` needs no unit.

**Secrets** never stand in the file. A setting that is a secret holds a reference to it:

| reference | means |
| --- | --- |
| ` + "`env:NAME`" + ` | the environment variable of the daemon |
| ` + "`file:/path`" + ` | the content of a file; you are warned if everybody may read it |
| ` + "`credential:NAME`" + ` | a credential that systemd passes to the service (` + "`LoadCredential=`, `SetCredentialEncrypted=`" + `) |
| ` + "`exec:/path arguments`" + ` | what a program prints within 10 seconds; arguments are separated by blanks, there is no shell and no quoting |

Secrets are read when they are needed, so a rotated one is picked up without a reload. They may have 64 KiB; a line break
at the end is not part of them. The reference itself is no secret: it is shown and logged.
`

// page makes the reference page: one table per section.
func page(comments map[string]string) []byte {
	var b bytes.Buffer
	b.WriteString(pageHead)
	writeSection(&b, "Top level", "", reflect.TypeFor[Config](), comments)
	return b.Bytes()
}

func writeSection(b *bytes.Buffer, title, path string, t reflect.Type, comments map[string]string) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| setting | value | default | meaning |\n| --- | --- | --- | --- |\n", title, comments[t.Name()])
	for _, f := range fieldsOf(t) {
		mark := ""
		if f.restart {
			mark = " ↻"
		}
		fmt.Fprintf(b, "| `%s`%s | %s | %s | %s |\n", f.name, mark, valueForm(f), defaultForm(f), comments[declared(t, f)])
	}
	for _, f := range fieldsOf(t) {
		inner := sectionType(f.typ)
		if inner == nil {
			continue
		}
		at := join(path, f.name)
		if f.typ.Kind() == reflect.Slice {
			at += "[]"
		}
		writeSection(b, "`"+at+"`", at, inner, comments)
	}
}

// declared returns the key of a field's comment, under the struct that declares it.
func declared(t reflect.Type, f field) string {
	for _, i := range f.index[:len(f.index)-1] {
		t = t.Field(i).Type
	}
	return t.Name() + "." + t.Field(f.index[len(f.index)-1]).Name
}

func valueForm(f field) string {
	if len(f.enum) > 0 {
		forms := "`" + strings.Join(f.enum, "`, `") + "`"
		if f.typ.Kind() == reflect.Slice {
			return "list of " + forms
		}
		return forms
	}
	switch f.typ {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Share]():
		return "percentage or number"
	case reflect.TypeFor[Percent]():
		return "percentage"
	case reflect.TypeFor[[]Percent]():
		return "list of percentages"
	case reflect.TypeFor[Pause]():
		return "`true` or a reason"
	case reflect.TypeFor[Secret]():
		return "reference to a secret"
	case reflect.TypeFor[Endpoint]():
		return "address, or reference to it"
	}
	switch kind := f.typ.Kind(); {
	case kind == reflect.Slice && sectionType(f.typ) != nil:
		return "list of sections"
	case kind == reflect.Slice:
		return "list of texts"
	case kind == reflect.Map:
		return "texts by name"
	case sectionType(f.typ) != nil:
		return "section"
	case kind == reflect.Bool:
		return "`true` or `false`"
	case kind == reflect.Int, kind == reflect.Float64:
		return "number"
	}
	return "text"
}

func defaultForm(f field) string {
	switch {
	case f.required:
		return "**required**"
	case f.initial != "":
		return "`" + f.initial + "`"
	case f.typ.Kind() == reflect.Bool:
		return "`false`"
	}
	return ""
}
