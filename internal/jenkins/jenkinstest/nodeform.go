// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
)

var errNoForm = errors.New("malformed form submission")

// nodeForm is the data-bound form of a new agent.
type nodeForm struct {
	Name         string         `json:"name"`
	Description  string         `json:"nodeDescription"`
	NumExecutors any            `json:"numExecutors"`
	RemoteFS     string         `json:"remoteFS"`
	LabelString  string         `json:"labelString"`
	Mode         string         `json:"mode"`
	Launcher     map[string]any `json:"launcher"`
	Retention    map[string]any `json:"retentionStrategy"`
}

// nodeDocFromForm makes the document of a node from a form submission. The name of the
// query or form wins over the one in the JSON.
func nodeDocFromForm(name, text string) (*element, error) {
	var f nodeForm
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoForm, err)
	}
	if name == "" {
		name = f.Name
	}
	executors := 1
	if n, err := strconv.Atoi(fmt.Sprint(f.NumExecutors)); err == nil {
		executors = n
	}
	if f.Mode != modeExclusive {
		f.Mode = modeNormal
	}
	d := &element{name: aliasDumbSlave}
	d.setValue("name", name)
	d.setValue("description", f.Description)
	d.setValue("remoteFS", f.RemoteFS)
	d.setValue("numExecutors", strconv.Itoa(executors))
	d.setValue("mode", f.Mode)
	d.children = append(d.children, formObject("retentionStrategy", f.Retention, classAlways), formObject("launcher", f.Launcher, classInbound))
	d.setValue("label", f.LabelString)
	d.children = append(d.children, &element{name: "nodeProperties"})
	return d, nil
}

// formObject turns {"stapler-class":..., "field":...} into an element with a class and
// its scalar fields.
func formObject(name string, fields map[string]any, fallback string) *element {
	class := fallback
	for _, key := range []string{"stapler-class", "$class"} {
		if s, ok := fields[key].(string); ok && s != "" {
			class = s
		}
	}
	e := classElement(name, class)
	for _, key := range sortedKeys(fields) {
		switch v := fields[key].(type) {
		case string, float64, bool:
			if key != "stapler-class" && key != "$class" {
				e.setValue(key, fmt.Sprint(v))
			}
		}
	}
	return e
}

var secretElement = regexp.MustCompile(`>\{[A-Za-z0-9+/=]+\}<`)

// redact hides secrets from readers who may not configure the agent.
func redact(doc []byte) []byte { return secretElement.ReplaceAll(doc, []byte(">********<")) }

func pathEscape(s string) string { return url.PathEscape(s) }
