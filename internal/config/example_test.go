// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheExampleIsAConfiguration(t *testing.T) {
	t.Parallel()
	text, err := Example(Answers{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("/etc/pitcrew/pitcrew.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings()) > 0 {
		t.Errorf("warnings: %v", c.Warnings())
	}
}

// disabled finds the lines of the example that are settings taken out, which have no blank after the #.
var disabled = regexp.MustCompile(`(?m)^( *)#(\S|  )`)

func TestTheExampleWithAllItsLinesEnabledIsAConfiguration(t *testing.T) {
	t.Parallel()
	text, err := Example(Answers{})
	if err != nil {
		t.Fatal(err)
	}
	all := disabled.ReplaceAll(text, []byte("$1$2"))
	c, err := Parse("/etc/pitcrew/pitcrew.yaml", all)
	if err != nil {
		t.Fatalf("%v in\n%s", err, all)
	}
	if c.Retention.Logs == 0 || c.Pools[0].SSH == nil || len(c.Notifications) != 2 {
		t.Errorf("lines were not enabled: %+v", c)
	}
}

func TestTheExampleShowsEverySetting(t *testing.T) {
	t.Parallel()
	for _, name := range settingNames(reflect.TypeFor[Config]()) {
		if name != "password" && !regexp.MustCompile(`(?m)^[ #-]*`+name+`:`).MatchString(exampleText) {
			t.Errorf("%s is not in the example", name)
		}
	}
}

func settingNames(t reflect.Type) []string {
	var names []string
	for _, f := range fieldsOf(t) {
		names = append(names, f.name)
		if inner := sectionType(f.typ); inner != nil {
			names = append(names, settingNames(inner)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// What is shown as a default in the example is the default.
func TestTheExampleShowsTheDefaults(t *testing.T) {
	t.Parallel()
	invented := []string{"owner", "url", "folder", "name", "host", "labelPrefix", "maxCleanups", "perSecond", "user", "port", "dryRun"}
	var check func(reflect.Type)
	check = func(typ reflect.Type) {
		for _, f := range fieldsOf(typ) {
			line := regexp.MustCompile(`(?m)^ *# *` + f.name + `: (\S+)$`).FindStringSubmatch(exampleText)
			if f.initial != "" && line != nil && line[1] != f.initial && !slices.Contains(invented, f.name) &&
				strings.Count(exampleText, f.name+":") == 1 {
				t.Errorf("the example shows %s: %s, the default is %s", f.name, line[1], f.initial)
			}
			if inner := sectionType(f.typ); inner != nil {
				check(inner)
			}
		}
	}
	check(reflect.TypeFor[Config]())
}

func TestAnswersAreQuotedAndChecked(t *testing.T) {
	t.Parallel()
	a := Answers{
		Controller: "1", URL: "http://127.0.0.1:8080/a#b", User: "o'brien: \"x\"", Token: "exec:/bin/pass show 'jenkins'",
		Agents: `!windows && "two words"`, Recipe: "#r.yaml", Data: "/data dir", CA: "/ca #1.pem",
	}
	if _, err := Example(a); err == nil {
		t.Error("an address with a fragment is accepted")
	}
	a.URL = "http://127.0.0.1:8080/jenkins"
	text, err := Example(a)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("/etc/pitcrew.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	x := c.Controllers[0]
	got := Answers{x.Name, x.URL, x.User, x.Token.String(), c.Pools[0].Agents, strings.TrimPrefix(c.Recipes[0].File, "/etc/"), c.Data, x.TLS.CA}
	if got != a {
		t.Errorf("answers %+v\ncome back as %+v", a, got)
	}
	const canary = "s3cr3t-canary"
	if _, err := Example(Answers{Token: canary}); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a plain token: error %v", err)
	}
}
