// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const goodBody = `{"version":1,"attempt":7,"agent":"a1","controller":"ci","recipe":"r","revision":"abc","phases":"all",
"outcome":"cleaned","verified":true,"reason":"","started":10,"ended":12,
"steps":[{"name":"v","phase":"verify","outcome":"ok","exit":0,"seconds":1,"tries":1,"reason":"","tail":""}],
"disk":{"before":{"bytesFree":1,"inodesFree":1},"after":{"bytesFree":2,"inodesFree":2}},
"machine":{"id":"m","bootId":"b","hostname":"h","os":"linux","arch":"x86_64","user":"u"},
"agentProcess":{"pid":1,"start":"2"}}
`

// framed puts body between the sentinels of an attempt, with its right checksum.
func framed(body string) string {
	return fmt.Sprintf("PITCREW-REPORT-BEGIN 7 %s\n%sPITCREW-REPORT-END 7 %[1]s %[3]s\n", testNonce, body, cksum([]byte(body)))
}

func TestAReportIsReadFromTheMiddleOfALog(t *testing.T) {
	t.Parallel()
	log := "Started by user\n| output\n" + framed(goodBody) + "Finished: SUCCESS\n"
	for name, log := range map[string]string{"line ends of Unix": log, "of Windows": strings.ReplaceAll(log, "\n", "\r\n")} {
		r, err := ParseReport([]byte(log), testAttempt, testNonce)
		if err != nil || r.Outcome != Cleaned || !r.Verified || len(r.Steps) != 1 || r.Duration().Seconds() != 2 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestABadReportIsAnErrorThatSaysWhy(t *testing.T) {
	t.Parallel()
	good := framed(goodBody)
	with := func(old, new string) string { return framed(strings.Replace(goodBody, old, new, 1)) }
	for name, c := range map[string]struct {
		log  string
		want Fault
	}{
		"no log":                       {"", Missing},
		"none":                         {"pitcrew: no place to unpack: /tmp: full\n", Missing},
		"only quoted by a step":        {"| " + strings.ReplaceAll(good, "\n", "\n| "), Missing},
		"not at the start of a line":   {"x" + strings.TrimSuffix(good[:40], "\n"), Missing},
		"end is missing":               {good[:strings.Index(good, endSentinel)], Truncated},
		"end is cut":                   {good[:len(good)-len(cksum([]byte(goodBody)))-2], Garbled},
		"checksum is cut":              {good[:len(good)-2], Garbled},
		"beginning is missing":         {good[strings.Index(good, "\n")+1:], Garbled},
		"twice":                        {good + good, Duplicated},
		"begins twice":                 {good[:strings.Index(good, "\n")+1] + good, Duplicated},
		"ends twice":                   {good + good[strings.Index(good, endSentinel):], Duplicated},
		"another attempt":              {strings.ReplaceAll(good, " 7 ", " 8 "), WrongAttempt},
		"another attempt inside":       {with(`"attempt":7`, `"attempt":6`), WrongAttempt},
		"another nonce":                {strings.ReplaceAll(good, testNonce, "f"+testNonce[1:]), WrongNonce},
		"a foreign one beside it":      {"PITCREW-REPORT-BEGIN 7 guess\n" + good, WrongNonce},
		"a foreign word":               {"PITCREW-REPORT-MIDDLE 7 " + testNonce + " x\n" + good, Garbled},
		"a line between":               {strings.Replace(good, "\"steps\"", "Build was aborted\n\"steps\"", 1), Garbled},
		"a line lost":                  {strings.Replace(good, "\"agentProcess\":{\"pid\":1,\"start\":\"2\"}}\n", "", 1), Garbled},
		"a bit changed":                {strings.Replace(good, `"bytesFree":1`, `"bytesFree":9`, 1), Garbled},
		"no JSON":                      {framed("hello\n"), Garbled},
		"something after the JSON":     {framed(goodBody + "{}\n"), Garbled},
		"an unknown field":             {with(`"agent"`, `"agents"`), Garbled},
		"a machine of too long a name": {with(`x86_64`, strings.Repeat("x", maxWord+1)), Inconsistent},
		"too large":                    {framed(strings.Repeat(" ", maxReport) + goodBody), Garbled},
		"another version":              {with(`"version":1`, `"version":2`), Inconsistent},
		"cleaned but not verified":     {with(`"verified":true`, `"verified":false`), Inconsistent},
		"cleaned but a step failed":    {with(`"outcome":"ok"`, `"outcome":"failed"`), Inconsistent},
		"cleaned but a step hung":      {with(`"outcome":"ok"`, `"outcome":"timeout"`), Inconsistent},
		"cleaned but nothing proved":   {with(`"outcome":"ok"`, `"outcome":"skipped"`), Inconsistent},
		"verified by a clean step":     {with(`"phase":"verify"`, `"phase":"clean"`), Inconsistent},
		"failed but verified":          {with(`"outcome":"cleaned"`, `"outcome":"failed"`), Inconsistent},
		"reboot but verified":          {with(`"outcome":"cleaned"`, `"outcome":"reboot"`), Inconsistent},
		"an unknown outcome":           {with(`"outcome":"cleaned"`, `"outcome":"great"`), Inconsistent},
		"an unknown outcome of a step": {with(`"outcome":"ok"`, `"outcome":"great"`), Inconsistent},
		"an unknown phase":             {with(`"phase":"verify"`, `"phase":"polish"`), Inconsistent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := ParseReport([]byte(c.log), testAttempt, testNonce)
			e, ok := errors.AsType[*ReportError](err)
			if !ok || e.Fault != c.want || r.Outcome != "" {
				t.Errorf("ParseReport = %q, %v; want %s", r.Outcome, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), testNonce) {
				t.Errorf("the error shows the nonce: %v", err)
			}
		})
	}
}

func TestAMissingReportRepeatsTheProgramsLastWords(t *testing.T) {
	t.Parallel()
	_, err := ParseReport([]byte("pitcrew: begins\npitcrew: no place to unpack: /tmp: full\nFinished: FAILURE\n"), 7, testNonce)
	if err == nil || !strings.Contains(err.Error(), "no place to unpack: /tmp: full") {
		t.Errorf("error %v", err)
	}
}

func TestAReportOfAnotherRevisionOrOtherStepsDoesNotMatch(t *testing.T) {
	t.Parallel()
	p := &Program{Recipe: "r", Revision: "abc", Steps: []StepName{{Clean, "c"}, {Verify, "v"}}}
	all := Report{Recipe: "r", Revision: "abc", Phases: "all", Steps: []StepReport{{Name: "c", Phase: Clean}, {Name: "v", Phase: Verify}}}
	verify := all
	verify.Phases, verify.Steps = "verify", all.Steps[1:]
	short, other := all, all
	short.Steps, other.Revision = all.Steps[1:], "abd"
	for name, c := range map[string]struct {
		report  Report
		matches bool
	}{"all": {all, true}, "verify alone": {verify, true}, "a step is missing": {short, false}, "another revision": {other, false}} {
		if err := p.Matches(c.report); (err == nil) != c.matches {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	good := framed(goodBody)
	f.Add([]byte(good))
	f.Add([]byte("| x\n" + good[:len(good)/2]))
	f.Add([]byte(good + good))
	f.Add([]byte("pitcrew: x\r\n" + sentinel))
	f.Fuzz(func(t *testing.T, log []byte) {
		r, err := ParseReport(log, testAttempt, testNonce)
		if err != nil {
			if _, ok := errors.AsType[*ReportError](err); !ok || r.Outcome != "" {
				t.Fatalf("outcome %q with error %v", r.Outcome, err)
			}
			return
		}
		lines := strings.Split(strings.ReplaceAll(string(log), "\r", ""), "\n")
		count := func(prefix string) (n int) {
			for _, line := range lines {
				if strings.HasPrefix(line, prefix) {
					n++
				}
			}
			return n
		}
		if count(beginSentinel+" 7 "+testNonce) != 1 || count(endSentinel+" 7 "+testNonce+" ") != 1 || count(sentinel) != 2 {
			t.Fatalf("accepted without exactly its sentinels: %q", log)
		}
		if r.Outcome == Cleaned && !r.Verified {
			t.Fatalf("cleaned without being verified: %q", log)
		}
		if _, err := ParseReport(log, testAttempt+1, testNonce); err == nil {
			t.Fatal("accepted for another attempt")
		}
		if _, err := ParseReport(log, testAttempt, "f"+testNonce); err == nil {
			t.Fatal("accepted for another nonce")
		}
	})
}
