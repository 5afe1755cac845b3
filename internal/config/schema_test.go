// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

func compileSchema(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("pitcrew.json", doc); err != nil {
		tb.Fatal(err)
	}
	schema, err := c.Compile("pitcrew.json")
	if err != nil {
		tb.Fatal(err)
	}
	return schema
}

func validate(tb testing.TB, schema *jsonschema.Schema, text string) error {
	tb.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	return schema.Validate(doc)
}

func TestTheSchemaAcceptsGoodFiles(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	example, err := config.Example(config.Answers{})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := mustParse(t, everything).Show()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"small": small, "example": string(example), "everything": everything, "what is shown": string(shown),
		"zero durations":     small + "  ttl: 0\n",
		"days":               small + "  ttl: 1d12h\n",
		"a number of agents": small + "  capacityFloor: 3\n",
		"a pause":            small + "  paused: true\n",
	} {
		if err := validate(t, schema, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSchemaRefusesBadFiles(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	for name, text := range map[string]string{
		"no version":              strings.Replace(small, "version: 1", "", 1),
		"a future version":        strings.Replace(small, "version: 1", "version: 2", 1),
		"an unknown setting":      small + "polls: 5s\n",
		"an unknown one inside":   small + "  polls: 5s\n",
		"a missing setting":       strings.Replace(small, "  user: pitcrew\n", "", 1),
		"a plain secret":          strings.Replace(small, "env:TOKEN", "abcdef", 1),
		"a duration with no unit": small + "  deadman: 5\n",
		"a wrong choice":          small + "  delivery: mail\n",
		"a wrong type":            small + "  maxCleanups: many\n",
		"out of bounds":           small + "  maxCleanups: -1\n",
		"an unknown event":        small + "notifications: [{name: a, exec: [/x], events: [x]}]\n",
		"a wrong share":           small + "  capacityFloor: lots\n",
	} {
		if err := validate(t, schema, text); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := config.Parse("p.yaml", []byte(text)); err == nil {
			t.Errorf("%s: accepted by Parse", name)
		}
	}
}
