// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"testing"
)

func TestAccessIsToldByAFileWhoseMistakesAreElsewhere(t *testing.T) {
	t.Parallel()
	const head = "version: 1\ndata: state\napi: {listen: 127.0.0.1:9}\n"
	for name, c := range map[string]struct {
		text string
		told bool
	}{
		"a bad value":                     {head + "controllers: [{name: main, url: 'http://j/', user: u, token: env:T, poll: often}]\n", true},
		"an unknown recipe":               {head + "pools: [{name: p, recipe: none}]\n", true},
		"an unknown setting in a section": {head + "log: {loudness: debug}\n", true},
		"a bad address":                   {"version: 1\napi: {listen: nowhere}\n", false},
		"a misspelt address":              {"version: 1\napi: {lisetn: 127.0.0.1:9}\n", false},
		"a misspelt section":              {"version: 1\nApi: {listen: 127.0.0.1:9}\n", false},
		"another version":                 {"version: 2\ndata: state\napi: {listen: 127.0.0.1:9}\n", false},
		"no version":                      {"data: state\napi: {listen: 127.0.0.1:9}\n", false},
		"no YAML":                         {head + "pools: [\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("/etc/pitcrew/pitcrew.yaml", []byte(c.text))
			var bad *Error
			if !errors.As(err, &bad) {
				t.Fatalf("want problems, got %v", err)
			}
			access := bad.Access()
			if (access != nil) != c.told {
				t.Fatalf("told: %v, want %v; the problems are %v", access != nil, c.told, err)
			}
			if access != nil && (access.API.Listen != "127.0.0.1:9" || access.Data != "/etc/pitcrew/state") {
				t.Errorf("told listen %q and data %q", access.API.Listen, access.Data)
			}
		})
	}
}
