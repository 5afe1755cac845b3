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
		Time     seconds  `xml:"time,attr"`
		Suites   []suite  `xml:"testsuite"`
	}
	suite struct {
		Name       string     `xml:"name,attr"`
		Tests      int        `xml:"tests,attr"`
		Failures   int        `xml:"failures,attr"`
		Errors     int        `xml:"errors,attr"`
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

// JUnit returns r for a CI job: a suite for each agent, in it a test for each run and one for the comparison.
func JUnit(r Report) ([]byte, error) {
	all := suites{Name: valid("rehearsal of " + r.Recipe.String()), Time: seconds(r.Duration)}
	for _, a := range r.Agents {
		s := suite{Name: valid(a.Name), Timestamp: r.StartedAt.UTC().Format("2006-01-02T15:04:05")}
		for _, p := range []property{{"pool", a.Pool}, {"os", a.OS}, {"arch", a.Arch}, {"profile", a.Profile}, {"returned", a.Returned}} {
			s.Properties = append(s.Properties, property{p.Name, valid(p.Value)})
		}
		class := valid("rehearsal." + strings.ReplaceAll(r.Recipe.Name, ".", "_") + "." + strings.ReplaceAll(a.Name, ".", "_"))
		for _, run := range a.Runs {
			c := testcase{Name: string(run.Kind), Class: class, Time: seconds(run.Duration), Out: valid(outcomes(run))}
			c.judge(run.Verdict, run.complaints())
			s.add(c)
		}
		s.add(comparison(class, a))
		s.sum()
		all.Suites = append(all.Suites, s)
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
	}
	if len(r.Agents) == 0 || r.Verdict != Passed && all.Failures+all.Errors == 0 {
		// A rehearsal that came to nothing must not look like one without failures.
		s := suite{Name: "rehearsal", Timestamp: r.StartedAt.UTC().Format("2006-01-02T15:04:05")}
		c := testcase{Name: "verdict", Class: valid("rehearsal." + r.Recipe.Name)}
		verdict := r.Verdict
		if verdict == Passed {
			verdict = Broken
		}
		c.judge(verdict, append(r.Reasons, fmt.Sprintf("%d agents were rehearsed on", len(r.Agents))))
		s.add(c)
		s.sum()
		all.Suites = append(all.Suites, s)
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("JUnit report of rehearsal %s: %w", r.ID, err)
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}

func comparison(class string, a Agent) testcase {
	c := testcase{Name: "same end state as production", Class: class}
	lines := make([]string, 0, len(a.Differences))
	for _, d := range a.Differences {
		lines = append(lines, d.String())
	}
	switch {
	case !a.Compared:
		c.Skipped = &trouble{Message: "not compared"}
	case len(lines) > 0 && a.DifferencesFail:
		c.judge(Failed, lines)
	default:
		c.Out = valid(strings.Join(bounded(lines), "\n"))
	}
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
	}
}

func (s *suite) add(c testcase) { s.Cases = append(s.Cases, c) }

func (s *suite) sum() {
	for _, c := range s.Cases {
		s.Tests++
		s.Time += c.Time
		if c.Failure != nil {
			s.Failures++
		}
		if c.Error != nil {
			s.Errors++
		}
	}
}

// outcomes are the steps of a run, a line each.
func outcomes(run Run) string {
	lines := make([]string, 0, len(run.Steps)+1)
	lines = append(lines, "outcome: "+run.Outcome)
	for _, s := range run.Steps {
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

// valid replaces what XML 1.0 cannot hold: control characters, surrogates, what is no UTF-8.
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
