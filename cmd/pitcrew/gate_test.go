// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
)

func TestTheHelmValueIsTheGate(t *testing.T) {
	t.Parallel()
	want, err := gate.Script("v1", gate.Labels(hygiene.DefaultNames))
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		Controller struct {
			InitScripts map[string]string `yaml:"initScripts"`
		} `yaml:"controller"`
	}
	if err := yaml.Unmarshal([]byte(helmValue(want)), &values); err != nil {
		t.Fatal(err)
	}
	// The chart makes of it init.groovy.d/init000-pitcrew-gate.groovy, which is a template to it.
	if got := values.Controller.InitScripts; len(got) != 1 || got["000-pitcrew-gate"] != want {
		t.Errorf("%d scripts, the gate is not what was put in", len(got))
	}
	if strings.Contains(want, "{{") {
		t.Error("to the chart {{ begins a directive")
	}
}
