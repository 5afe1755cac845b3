// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// sentinel begins the lines around a report. No line of a step's output can begin with it, and no script may hold it.
const (
	sentinel      = "PITCREW-REPORT-"
	beginSentinel = sentinel + "BEGIN"
	endSentinel   = sentinel + "END"
)

// maxReport bounds the bytes between the sentinels.
const maxReport = 2 << 20

// Fault is why a log has no usable report.
type Fault string

// The faults of a report. Each means that the cleanup did not clean.
const (
	Missing      Fault = "missing"       // no report began
	Truncated    Fault = "truncated"     // a report began and did not end
	Garbled      Fault = "garbled"       // a report is there, and not as it was sent
	Duplicated   Fault = "duplicated"    // more than one report is there
	WrongAttempt Fault = "wrong attempt" // the report is of another attempt
	WrongNonce   Fault = "wrong nonce"   // the report is not of our program, or of another claim
	Inconsistent Fault = "inconsistent"  // the report contradicts itself or the recipe
)

// ReportError says why a log has no usable report.
type ReportError struct {
	Fault  Fault
	Detail string
}

func (e *ReportError) Error() string {
	if e.Detail == "" {
		return "report " + string(e.Fault)
	}
	return "report " + string(e.Fault) + ": " + e.Detail
}

func faulty(f Fault, format string, args ...any) error {
	return &ReportError{Fault: f, Detail: fmt.Sprintf(format, args...)}
}

// ParseReport finds the report of attempt in a log and checks it. Its error is a [*ReportError]. A log in which any
// line begins like a sentinel, but is not one of the two that are due, is refused whole: somebody wrote past the
// program.
func ParseReport(log []byte, attempt int64, nonce string) (Report, error) {
	body, err := frame(log, strconv.FormatInt(attempt, 10), nonce)
	if err != nil {
		return Report{}, err
	}
	if len(body) > maxReport {
		return Report{}, faulty(Garbled, "%d bytes are more than any program sends", len(body))
	}
	var r Report
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Report{}, faulty(Garbled, "%s", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Report{}, faulty(Garbled, "something follows the report")
	}
	if r.Attempt != attempt {
		return Report{}, faulty(WrongAttempt, "the report says %d, want %d", r.Attempt, attempt)
	}
	if err := r.consistent(); err != nil {
		return Report{}, err
	}
	return r, nil
}

// frame returns what stands between the sentinels of attempt and nonce.
func frame(log []byte, attempt, nonce string) ([]byte, error) {
	if nonce == "" {
		return nil, faulty(WrongNonce, "no report is valid without a nonce")
	}
	var body []byte
	var err error
	began, ended, sum := false, false, ""
	for line := range bytes.Lines(log) {
		line = bytes.TrimRight(line, "\r\n")
		text, isSentinel := sentinelWords(line)
		switch {
		case !isSentinel:
			if began && !ended && len(body) <= maxReport {
				body = append(append(body, line...), '\n')
			}
			continue
		case len(text) < 3:
			return nil, faulty(Garbled, "a sentinel is cut short")
		case text[1] != attempt:
			return nil, faulty(WrongAttempt, "a sentinel of attempt %.20q, want %s", text[1], attempt)
		case text[2] != nonce:
			return nil, faulty(WrongNonce, "a sentinel has another nonce")
		}
		if sum, err = mark(text, began, ended); err != nil {
			return nil, err
		}
		began, ended = true, text[0] == endSentinel
	}
	switch {
	case !began:
		return nil, faulty(Missing, "%s", lastWords(log))
	case !ended:
		return nil, faulty(Truncated, "%s", lastWords(log))
	case sum != cksum(body) && sum != sha256Hex(body):
		return nil, faulty(Garbled, "its checksum is not %.64s", sum)
	}
	return body, nil
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// sentinelWords splits a line that begins like a sentinel.
func sentinelWords(line []byte) (words []string, ok bool) {
	if !bytes.HasPrefix(line, []byte(sentinel)) {
		return nil, false
	}
	return strings.Split(string(line[:min(len(line), 512)]), " "), true
}

// mark judges a sentinel in its turn and returns the checksum that the closing one holds.
func mark(words []string, began, ended bool) (sum string, err error) {
	switch {
	case words[0] == beginSentinel && len(words) == 3:
		if began {
			return "", faulty(Duplicated, "the log has more than one")
		}
		return "", nil
	case words[0] == endSentinel && len(words) == 4:
		switch {
		case !began:
			return "", faulty(Garbled, "it ends before it begins")
		case ended:
			return "", faulty(Duplicated, "it ends more than once")
		}
		return words[3], nil
	default:
		return "", faulty(Garbled, "%.40q with %d words is no sentinel", words[0], len(words))
	}
}

// lastWords returns the last thing the program said about itself: a hint for people, not evidence.
func lastWords(log []byte) string {
	const prefix = "pitcrew: "
	i := bytes.LastIndex(append([]byte("\n"), log[max(0, len(log)-1<<16):]...), []byte("\n"+prefix))
	if i < 0 {
		return "the log does not mention one"
	}
	line, _, _ := bytes.Cut(log[max(0, len(log)-1<<16)+i:], []byte("\n"))
	return fmt.Sprintf("the log's last words are %q", line[:min(len(line), 300)])
}

// maxWord bounds what a machine is called by, in bytes.
const maxWord = 1000

// consistent checks that r does not contradict itself.
func (r Report) consistent() error {
	if r.Version != Version {
		return faulty(Inconsistent, "version %d is not known", r.Version)
	}
	if r.Phases != "all" && r.Phases != string(Verify) {
		return faulty(Inconsistent, "phases %q are not known", r.Phases)
	}
	if r.Depth != "" && !slices.Contains(hygiene.Depths(), r.Depth) {
		return faulty(Inconsistent, "depth %q is not known", r.Depth)
	}
	for name, word := range map[string]string{
		"id": r.Machine.ID, "bootId": r.Machine.BootID, "hostname": r.Machine.Hostname, "os": r.Machine.OS, "arch": r.Machine.Arch, "user": r.Machine.User,
	} {
		if len(word) > maxWord { // it is kept with the agent, and compared with those of all others
			return faulty(Inconsistent, "the machine's %s has %d bytes, at most %d make sense", name, len(word), maxWord)
		}
	}
	failed, proved := 0, 0
	for _, s := range r.Steps {
		switch s.Outcome {
		case StepOK, StepWarned:
			if s.Phase == Verify {
				proved++
			}
		case StepFailed, StepTimeout:
			failed++
		case StepSkipped:
		case StepReconnect, StepReboot: // what a step may ask for; its report says ok
			fallthrough
		default:
			return faulty(Inconsistent, "step %q has the unknown outcome %q", s.Name, s.Outcome)
		}
		if !slices.Contains(Phases(), s.Phase) {
			return faulty(Inconsistent, "step %q has the unknown phase %q", s.Name, s.Phase)
		}
	}
	return r.outcomeConsistent(failed, proved)
}

func (r Report) outcomeConsistent(failed, proved int) error {
	switch r.Outcome {
	case Cleaned:
		switch {
		case failed > 0:
			return faulty(Inconsistent, "cleaned, but %d steps failed", failed)
		case !r.Verified || proved == 0:
			return faulty(Inconsistent, "cleaned, but nothing was verified")
		}
	case Reconnect, Reboot:
		if failed > 0 || r.Verified {
			return faulty(Inconsistent, "%s, but verified or with failed steps", r.Outcome)
		}
	case Failed:
		if r.Verified {
			return faulty(Inconsistent, "failed, but verified")
		}
	default:
		return faulty(Inconsistent, "unknown outcome %q", r.Outcome)
	}
	return nil
}

// Matches checks that r is a report of program p: its revision, and every step of the phases asked for, in order. The
// error is a [*ReportError].
func (p *Program) Matches(r Report) error {
	if r.Recipe != p.Recipe || r.Revision != p.Revision {
		return faulty(Inconsistent, "it is of recipe %s, revision %.12s, not of %s, revision %.12s", r.Recipe, r.Revision, p.Recipe, p.Revision)
	}
	var got []StepName
	for _, s := range r.Steps {
		got = append(got, StepName{s.Phase, s.Name})
	}
	want := slices.DeleteFunc(slices.Clone(p.Steps), func(s StepName) bool {
		return r.Phases == string(Verify) && s.Phase != Verify
	})
	if !slices.Equal(got, want) {
		return faulty(Inconsistent, "its steps are not those of the recipe")
	}
	return nil
}
