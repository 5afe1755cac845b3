// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	_ "embed" // for example.yaml.tmpl
	"encoding/json"
	"fmt"
	"regexp"
	"text/template"
)

// Answers are what a first configuration needs to know. Empty ones become examples.
type Answers struct {
	Controller string // name of the controller
	URL        string // of the controller
	User       string // on the controller
	Token      string // reference to the user's API token
	Agents     string // label expression
	Recipe     string // file of the recipe
	Data       string // directory
	CA         string // file with the authorities that the controller's certificate is of; "" = the system's
}

//nolint:gosec // G101: the token is a reference
var exampleAnswers = Answers{
	Controller: "main",
	URL:        "https://jenkins.example.org/",
	User:       "pitcrew",
	Token:      "file:/etc/pitcrew/main.token",
	Agents:     "linux",
	Recipe:     "generic-linux.yaml",
	Data:       "/var/lib/pitcrew",
}

// plainText are texts that need no quotes for sure.
var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9._/-]*(:[A-Za-z0-9._/-]+)?$`)

//go:embed example.yaml.tmpl
var exampleText string

// Example returns a commented configuration file to start from. It is checked: answers that make no configuration are
// an error that says why, such as a plain token.
func Example(a Answers) ([]byte, error) {
	d := exampleAnswers
	for _, pair := range []struct{ to, from *string }{
		{&d.Controller, &a.Controller},
		{&d.URL, &a.URL},
		{&d.User, &a.User},
		{&d.Token, &a.Token},
		{&d.Agents, &a.Agents},
		{&d.Recipe, &a.Recipe},
		{&d.Data, &a.Data},
		{&d.CA, &a.CA},
	} {
		if *pair.from != "" {
			*pair.to = *pair.from
		}
	}
	tmpl, err := template.New("example").Funcs(template.FuncMap{"text": yamlText}).Parse(exampleText)
	if err != nil {
		return nil, fmt.Errorf("read template of the example: %w", err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, d); err != nil {
		return nil, fmt.Errorf("write example: %w", err)
	}
	if _, err := Parse("pitcrew.yaml", b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// yamlText quotes s where YAML could read it as something else than that text. JSON strings are YAML strings.
func yamlText(s string) (string, error) {
	if plainText.MatchString(s) {
		return s, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}
