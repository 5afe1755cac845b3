// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// The elements of JUnit XML that Jenkins reads: https://github.com/testmoapp/junitxml describes what tools agree on.
type (
	suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Errors   int      `xml:"errors,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Time     seconds  `xml:"time,attr"`
		Suites   []suite  `xml:"testsuite"`
	}
	suite struct {
		Name       string     `xml:"name,attr"`
		Tests      int        `xml:"tests,attr"`
		Failures   int        `xml:"failures,attr"`
		Errors     int        `xml:"errors,attr"`
		Skipped    int        `xml:"skipped,attr"`
		Time       seconds    `xml:"time,attr"`
		Timestamp  string     `xml:"timestamp,attr"`
		Properties []property `xml:"properties>property"`
		Cases      []testcase `xml:"testcase"`
	}
	property struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    seconds  `xml:"time,attr"`
		Failure *trouble `xml:"failure"`
		Error   *trouble `xml:"error"`
		Skipped *trouble `xml:"skipped"`
		Out     string   `xml:"system-out,omitempty"`
	}
	trouble struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	seconds time.Duration
)

func (s seconds) MarshalXMLAttr(name xml.Name) (xml.Attr, error) {
	return xml.Attr{Name: name, Value: fmt.Sprintf("%.3f", time.Duration(s).Seconds())}, nil
}

// most bounds the lines of a text in a test case.
const most = 200

// JUnit returns r for a CI job: a suite for each agent, in it a test for each case and one for the comparison.
func JUnit(r Report) ([]byte, error) {
	all := suites{Name: valid("rehearsal of " + r.Recipe.String()), Time: seconds(r.Duration)}
	began, class := r.StartedAt.UTC().Format("2006-01-02T15:04:05"), "rehearsal."+strings.ReplaceAll(r.Recipe.Name, ".", "_")
	for _, a := range r.Agents {
		s := suite{Name: valid(a.Name), Timestamp: began}
		for _, p := range []property{{"pool", a.Pool}, {"os", a.OS}, {"arch", a.Arch}, {"profile", a.Profile}} {
			s.Properties = append(s.Properties, property{p.Name, valid(p.Value)})
		}
		class := valid(class + "." + strings.ReplaceAll(a.Name, ".", "_"))
		for _, run := range a.Cases {
			c := testcase{Name: valid(run.Name), Class: class, Time: seconds(run.Duration), Out: valid(outcomes(run))}
			c.judge(run.Verdict, run.complaints())
			s.add(c)
		}
		if a.Verdict != Passed && s.Failures+s.Errors == 0 {
			s.add(verdict(class, a.Verdict, "nothing was tried to its end"))
		}
		s.add(comparison(class, a))
		all.add(s)
	}
	if len(r.Agents) == 0 {
		s := suite{Name: "rehearsal", Timestamp: began}
		s.add(verdict(valid(class), Broken, append(r.reasons(), "no agent was rehearsed on")...))
		all.add(s)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("JUnit report of rehearsal %s: %w", r.ID, err)
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}

// verdict is the test of a rehearsal that came to nothing, which must not look like one without failures.
func verdict(class string, v Verdict, why ...string) testcase {
	c := testcase{Name: "verdict", Class: class}
	c.judge(v, why)
	return c
}

func comparison(class string, a Agent) testcase {
	c := testcase{Name: "end state compared", Class: class}
	if !a.Compared {
		c.judge(Skipped, []string{"not compared"})
		return c
	}
	c.Out = valid(strings.Join(bounded(append([]string{fmt.Sprintf("%d differences from that of %s", len(a.Differences), a.Against)}, a.differences()...)), "\n"))
	return c
}

// judge puts a verdict that is not passed into c.
func (c *testcase) judge(v Verdict, lines []string) {
	if len(lines) == 0 {
		lines = []string{string(v)}
	}
	t := &trouble{Message: valid(lines[0]), Text: valid(strings.Join(bounded(lines), "\n"))}
	switch v {
	case Passed:
	case Failed:
		c.Failure = t
	case Broken:
		c.Error = t
	case Skipped:
		c.Skipped = t
	}
}

func (s *suite) add(c testcase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	s.Time += c.Time
	if c.Failure != nil {
		s.Failures++
	}
	if c.Error != nil {
		s.Errors++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
}

func (all *suites) add(s suite) {
	all.Suites = append(all.Suites, s)
	all.Tests, all.Failures, all.Errors, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors, all.Skipped+s.Skipped
}

// outcomes are the steps of a case, a line each.
func outcomes(c Case) string {
	var lines []string
	if c.Outcome != "" {
		lines = append(lines, "outcome: "+c.Outcome)
	}
	for _, s := range c.Steps {
		lines = append(lines, fmt.Sprintf("%s/%s: %s (%s)", s.Phase, s.Name, s.Outcome, short(s.Duration)))
	}
	return strings.Join(bounded(lines), "\n")
}

func bounded(lines []string) []string {
	if len(lines) <= most {
		return lines
	}
	return append(append([]string{}, lines[:most]...), fmt.Sprintf("and %d more", len(lines)-most))
}

// valid replaces what XML 1.0, and HTML, cannot hold: control characters, surrogates, what is no UTF-8.
func valid(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF:
			return r
		default:
			return '\uFFFD'
		}
	}, s)
}
