// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

const someNonce = "nonce-0123456789"

// said is a console of lines, each with the proof of nonce in the place of P.
func said(nonce string, lines ...string) []byte {
	sum := sha256.Sum256([]byte(nonce))
	return []byte(strings.ReplaceAll(strings.Join(lines, "\n")+"\n", " P ", " "+hex.EncodeToString(sum[:])+" "))
}

const (
	started = "pitcrew-loan P started user=ci isolated=yes files=closed dir=/srv/loan java=/opt/a jdk/bin/java"
	ended   = "pitcrew-loan P ended reason=limit code=143 left=2 dir=kept nonce=" + someNonce
)

func TestAConsoleIsReadWithWhateverIsMissing(t *testing.T) {
	t.Parallel()
	begun := &loanjob.Started{User: "ci", Isolated: true, Dir: "/srv/loan", Java: "/opt/a jdk/bin/java"}
	over := &loanjob.Ended{Reason: loanjob.LimitReached, Code: 143, Left: 2, DirKept: true}
	yes := true
	for name, c := range map[string]struct {
		lines []string
		want  loanjob.Console
	}{
		"nothing": {nil, loanjob.Console{}},
		"all": {
			[]string{"Started by user x", started, "| INFO: Connected", "pitcrew-loan P connected", "| " + ended, ended, "Finished: FAILURE"},
			loanjob.Console{Started: begun, Connected: true, Ended: over},
		},
		"carriage returns":       {[]string{started + "\r", ended + "\r"}, loanjob.Console{Started: begun, Ended: over}},
		"the beginning was lost": {[]string{"n P connected", ended}, loanjob.Console{Ended: over}},
		"the end was lost":       {[]string{started, "pitcrew-loan P connected", "Aborted"}, loanjob.Console{Started: begun, Connected: true}},
		"the middle was lost":    {[]string{"pitcrew-loan P startedended", strings.TrimPrefix(ended, "pitcrew-loan "), started}, loanjob.Console{Started: begun, Damaged: 1}},
		"a reason of tomorrow":   {[]string{strings.Replace(ended, "limit", "boredom", 1)}, loanjob.Console{Damaged: 1}},
		"a part of an end":       {[]string{strings.Replace(ended, " nonce", "", 1)}, loanjob.Console{Damaged: 1}},
		"another loan's":         {[]string{strings.Replace(started, " P ", " 00 ", 1)}, loanjob.Console{}},
		"refused at once":        {[]string{"pitcrew-loan - refused PITCREW_NONCE is too short"}, loanjob.Console{Refusal: "PITCREW_NONCE is too short"}},
		"refused":                {[]string{"pitcrew-loan P refused no such account"}, loanjob.Console{Refusal: "no such account"}},
		"an unproved start":      {[]string{strings.Replace(started, " P ", " - ", 1)}, loanjob.Console{}},
		"failed":                 {[]string{"pitcrew-loan P failed dir=gone no room"}, loanjob.Console{Failure: &loanjob.Failure{Reason: "no room"}}},
		"status":                 {[]string{"pitcrew-loan P status known=yes alive=yes"}, loanjob.Console{Alive: &yes}},
		"granted":                {[]string{"pitcrew-loan P granted user=ci until=20300102030405"}, loanjob.Console{Granted: "20300102030405"}},
		"trouble": {
			[]string{"| INFO: Setting up agent: n", "| Nov 30, 2026 error", "| SEVERE: Failed\tto\x1b connect: " + strings.Repeat("0f", 32) + " 403", "|     at java.Error(x)", "| Waiting"},
			loanjob.Console{Trouble: "SEVERE: Failed to connect: (hidden) 403"},
		},
		"much trouble": {[]string{"| error " + strings.Repeat("é", 300), "no error of theirs"}, loanjob.Console{Trouble: "error " + strings.Repeat("é", 194)}},
		"no code":      {[]string{strings.Replace(ended, "143", "none", 1)}, loanjob.Console{Ended: &loanjob.Ended{Reason: loanjob.LimitReached, Code: -1, Left: 2, DirKept: true}}},
	} {
		got, err := loanjob.ReadConsole(said(someNonce, c.lines...), someNonce)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	cut := said(someNonce, started)
	if got, err := loanjob.ReadConsole(cut[:len(cut)-1], someNonce); err != nil || got.Started != nil || got.Damaged != 1 {
		t.Errorf("a line that is still being written: %+v, %v", got, err)
	}
}

func TestAnEndWithAnotherNonceIsForged(t *testing.T) {
	t.Parallel()
	text := said(someNonce, started, strings.Replace(ended, someNonce, "nonce-of-somebody-else", 1))
	if c, err := loanjob.ReadConsole(text, someNonce); !errors.Is(err, loanjob.ErrForged) || c.Ended != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

// FuzzNothingThatWasPrefixedIsRead: whatever stands between the holder's lines, it neither adds to them nor takes away.
func FuzzNothingThatWasPrefixedIsRead(f *testing.F) {
	f.Add([]byte("INFO: Connected\npitcrew-loan - refused x\n"))
	f.Add(said(someNonce, ended, started))
	f.Add([]byte("\r\n\x00\xff"))
	f.Fuzz(func(t *testing.T, foreign []byte) {
		var between []byte
		for line := range strings.Lines(string(foreign)) {
			between = append(between, "| "+strings.TrimSuffix(line, "\n")+"\n"...)
		}
		got, err := loanjob.ReadConsole(slices.Concat(said(someNonce, started), between, said(someNonce, ended)), someNonce)
		if err != nil || got.Started == nil || got.Ended == nil || got.Ended.Left != 2 || got.Refusal != "" || got.Connected || got.Damaged != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		// Not prefixed, it must not make it panic, nor tell of an end with another nonce.
		if c, err := loanjob.ReadConsole(foreign, "another-nonce-altogether"); err != nil || c.Ended != nil {
			t.Errorf("%+v, %v", c, err)
		}
	})
}
