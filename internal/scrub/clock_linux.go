// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// clock judges the clock of the machine. It sets none.
type clock struct {
	goal     spec.Time
	here     Here
	adjtimex func(*unix.Timex) (int, error)
	notes    []string
}

func newClock(s spec.Spec, here Here) Step {
	return &clock{goal: *s.Time, here: here, adjtimex: unix.Adjtimex}
}

// Notes returns how right the clock was at the last look.
func (c *clock) Notes() []string { return c.notes }

// Look asks who knows the time, and the kernel.
func (c *clock) Look(ctx context.Context) ([]Deviation, error) {
	var found []Deviation
	c.notes = nil
	if why := c.unsynchronised(); c.goal.Synchronised && why != "" {
		found = append(found, lack("clock", "synchronisation", why))
	}
	if len(c.goal.Against) == 0 {
		return found, nil
	}
	why := c.differs(ctx)
	if ctx.Err() != nil {
		return nil, stopped(ctx)
	}
	if why != "" {
		found = append(found, lack("clock", "clock", why))
	}
	return found, nil
}

func (c *clock) Mend(_ context.Context, found []Deviation) []error { return make([]error, len(found)) }

// unsynchronised says why the kernel's clock is not kept right, "" if it is; see adjtimex(2).
func (c *clock) unsynchronised() string {
	var t unix.Timex
	state, err := c.adjtimex(&t)
	switch {
	case err != nil:
		return fmt.Sprintf("the kernel does not tell: %v", err)
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return "the kernel says that nothing keeps its clock right: does chronyd, ntpd or systemd-timesyncd run?"
	}
	return ""
}

// Each server is asked this often, and has this long each time.
const (
	clockTries = 3
	clockWait  = 5 * time.Second
)

// differs says why the clock is wrong by the first server that answers, "" if it is right.
func (c *clock) differs(ctx context.Context) string {
	limit := c.goal.Within.Duration()
	var all []string
	for _, url := range c.goal.Against {
		s, err := c.ask(ctx, url)
		if err == nil && s.most-s.least > 2*limit {
			err = fmt.Errorf("its answer took %s, too long to tell by", (s.most - s.least).Round(time.Millisecond))
		}
		if err != nil {
			all = append(all, url+": "+err.Error())
			continue
		}
		c.notes = []string{fmt.Sprintf("the clock is %s by %s", s, url)}
		if s.least > limit || s.most < -limit {
			return fmt.Sprintf("it is %s by %s; at most %s is right", s, url, limit)
		}
		return ""
	}
	return "nobody tells the time: " + strings.Join(all, "; ")
}

// skew bounds by how much our clock is ahead: how long a question and its answer took is not known apart.
type skew struct{ least, most time.Duration }

func (s skew) String() string {
	middle, way := s.least+(s.most-s.least)/2, "ahead"
	if middle < 0 {
		middle, way = -middle, "behind"
	}
	return fmt.Sprintf("%s %s (give or take %s)", middle.Round(time.Millisecond), way, ((s.most - s.least) / 2).Round(time.Millisecond))
}

func (c *clock) ask(ctx context.Context, url string) (s skew, err error) {
	a, err := spec.ParseAddress(url)
	if err != nil {
		return s, err
	}
	for range clockTries {
		short, cancel := context.WithTimeout(ctx, clockWait)
		if a.Scheme == "ntp" {
			s, err = c.askNTP(short, a)
		} else {
			s, err = c.askDate(short, url)
		}
		late := short.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
			return s, err
		case late:
			err = fmt.Errorf("no answer within %s", clockWait)
		default:
			return s, err // it has answered, or nobody is there
		}
	}
	return s, err
}

// askDate goes by the time at which an answer was made, a whole second (RFC 9110, section 6.6.1).
func (c *clock) askDate(ctx context.Context, url string) (skew, error) {
	asked := time.Now()
	answer, err := c.here.askHead(ctx, url, false)
	answered := time.Now()
	if err != nil {
		return skew{}, err
	}
	if age := answer.fields["age"]; age != "" && age != "0" {
		return skew{}, errors.New("its answer comes from a cache")
	}
	date, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", answer.fields["date"])
	if err != nil {
		return skew{}, fmt.Errorf("its answer has no date: %q", answer.fields["date"])
	}
	return skew{asked.Sub(date.Add(time.Second)), answered.Sub(date)}, nil
}

// A message of SNTP (RFC 4330): all numbers are in network order.
const (
	ntpLength     = 48
	ntpStratum    = 1
	ntpReference  = 12 // four letters that say why, in a refusal
	ntpOriginate  = 24 // what the question has as its own time
	ntpReceived   = 32
	ntpSent       = 40
	ntpQuestion   = 4<<3 | 3 // version 4, from a client
	ntpServer     = 4
	ntpUnsettled  = 3    // leap indicator of a server that does not know the time itself
	ntpMostRemote = 15   // stratum
	ntpEra        = 1900 // a time with its uppermost bit off is of the era that begins in 2036
)

func (c *clock) askNTP(ctx context.Context, a spec.Address) (skew, error) {
	conn, err := c.here.dial(ctx, unix.SOCK_DGRAM, a.Host, a.Port)
	if err != nil {
		return skew{}, err
	}
	defer conn.Close()
	question := make([]byte, ntpLength)
	question[0] = ntpQuestion
	// It need not be the time: it only has to come back. The system call that gives random bytes is younger than the kernel of el7.
	binary.BigEndian.PutUint64(question[ntpSent:], rand.Uint64()) //nolint:gosec // the kernel seeds it, and nobody is told of others
	asked := time.Now()
	if _, err := conn.Write(question); err != nil {
		return skew{}, err
	}
	answer := make([]byte, 512)
	for {
		n, err := conn.Read(answer)
		answered := time.Now()
		if err != nil {
			return skew{}, err
		}
		if n < ntpLength || !bytes.Equal(answer[ntpOriginate:ntpReceived], question[ntpSent:]) {
			continue // of another question, or of somebody else
		}
		received, sent, err := readNTP(answer)
		return skew{asked.Sub(received), answered.Sub(sent)}, err
	}
}

// readNTP returns when a server received the question, and when it sent its answer.
func readNTP(answer []byte) (received, sent time.Time, err error) {
	switch stratum := answer[ntpStratum]; {
	case answer[0]&7 != ntpServer:
		err = errors.New("what answers is no server of NTP")
	case stratum == 0:
		err = fmt.Errorf("it refuses: %s", shown(string(answer[ntpReference:ntpReference+4])))
	case answer[0]>>6 == ntpUnsettled || stratum > ntpMostRemote:
		err = errors.New("it does not know the time itself")
	}
	return ntpTime(answer[ntpReceived:]), ntpTime(answer[ntpSent:]), err
}

// ntpTime reads seconds since 1900 with a binary fraction of 32 bits.
func ntpTime(b []byte) time.Time {
	whole, part := int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:]))
	if whole < 1<<31 {
		whole += 1 << 32
	}
	start := time.Date(ntpEra, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	return time.Unix(start+whole, part*int64(time.Second)>>32)
}
