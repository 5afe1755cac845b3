// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// timeServer is a server of SNTP on the loopback whose clock is ahead of ours. spoil changes its answers.
func timeServer(t *testing.T, ahead time.Duration, spoil func(answer []byte)) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stamp := func(to []byte) {
		now := time.Now().Add(ahead)
		binary.BigEndian.PutUint32(to, uint32(now.Unix()+2208988800)) // RFC 868: so many seconds from 1900 to 1970
		binary.BigEndian.PutUint32(to[4:], uint32(uint64(now.Nanosecond())<<32/1e9))
	}
	go func() {
		question := make([]byte, 100)
		for {
			n, from, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			if n != 48 || question[0] != 0x23 {
				continue
			}
			answer := make([]byte, 48)
			answer[0], answer[1] = 0x24, 2
			copy(answer[24:32], question[40:48])
			stamp(answer[32:])
			stamp(answer[40:])
			if spoil != nil {
				forged := append([]byte{}, answer...)
				forged[24] ^= 1 // one that nobody asked for comes first
				forged[32], forged[40] = 0, 0
				_, _ = conn.WriteTo(forged, from)
				spoil(answer)
			}
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	return "ntp://" + conn.LocalAddr().String()
}

// refusing is the address of a server that nobody can connect to. The port is held, and not listened on: one that was given back, a server of
// another process may get.
func refusing(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", at.(*unix.SockaddrInet4).Port)
}

func TestClocksAreJudgedByServersThatKnowTheTime(t *testing.T) {
	for _, name := range []string{"http_proxy", "https_proxy"} {
		t.Setenv(name, "")
	}
	web := func(field func(h http.Header)) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { field(w.Header()) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	dated := func(ahead time.Duration) func(http.Header) {
		return func(h http.Header) { h.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat)) }
	}
	closed := refusing(t)
	const right = "the clock is "
	for name, c := range map[string]struct {
		against []string
		says    string // a problem, or a remark that begins with right
	}{
		"NTP":                     {[]string{timeServer(t, 0, nil)}, right},
		"NTP, after a forgery":    {[]string{timeServer(t, 0, func([]byte) {})}, right},
		"NTP, behind":             {[]string{timeServer(t, time.Hour, nil)}, "behind"},
		"NTP, ahead":              {[]string{timeServer(t, -2*time.Hour, nil)}, "ahead"},
		"NTP, after 2036":         {[]string{timeServer(t, 20*365*24*time.Hour, nil)}, "behind"},
		"NTP, not settled":        {[]string{timeServer(t, 0, func(a []byte) { a[0] |= 0xc0 })}, "it does not know the time itself"},
		"NTP, too far":            {[]string{timeServer(t, 0, func(a []byte) { a[1] = 16 })}, "it does not know the time itself"},
		"NTP, refused":            {[]string{timeServer(t, 0, func(a []byte) { a[1] = 0; copy(a[12:], "RATE") })}, "it refuses: RATE"},
		"NTP, of another client":  {[]string{timeServer(t, 0, func(a []byte) { a[0] = 0x23 })}, "what answers is no server of NTP"},
		"a web server":            {[]string{web(dated(0))}, right},
		"a web server, behind":    {[]string{web(dated(time.Hour))}, "behind"},
		"a web server, ahead":     {[]string{web(dated(-time.Hour))}, "ahead"},
		"a cache":                 {[]string{web(func(h http.Header) { dated(0)(h); h.Set("Age", "7") })}, "its answer comes from a cache"},
		"no date":                 {[]string{web(func(h http.Header) { h.Set("Date", "yesterday") })}, `its answer has no date: "yesterday"`},
		"the second if it has to": {[]string{closed, web(dated(0))}, right},
		"not the second":          {[]string{web(dated(time.Hour)), web(dated(0))}, "behind"},
		"nobody":                  {[]string{closed}, "nobody tells the time: " + closed + ": connect to "},
	} {
		t.Run(name, func(t *testing.T) {
			// A quarter of an hour is what no loaded machine takes for an answer.
			r := goalReached(t, spec.Goal{Time: &spec.Time{Against: c.against, Within: 900}}, scrub.Here{}, scrub.Judge)
			if (r.State == spec.Unchanged) != (c.says == right) || !strings.Contains(said(r), c.says) {
				t.Errorf("%+v; want %q", r, c.says)
			}
		})
	}
}

func TestTheKernelSaysWhetherItsClockIsKeptRight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  int
		status int32
		err    error
		says   string
	}{
		"kept right":     {},
		"a leap second":  {state: 3},
		"not":            {status: 0x40, says: "nothing keeps its clock right"},
		"not, by state":  {state: 5, says: "nothing keeps its clock right"},
		"nobody may ask": {err: unix.EPERM, says: "the kernel does not tell: operation not permitted"},
	} {
		step := scrub.NewClockOf(spec.Time{Synchronised: true}, func(t *unix.Timex) (int, error) {
			t.Status = c.status
			return c.state, c.err
		})
		r, err := scrub.Reach(t.Context(), spec.KindTime, step, scrub.Judge)
		if err != nil || (r.State == spec.Unchanged) != (c.says == "") || !strings.Contains(said(r), c.says) {
			t.Errorf("%s: %+v, %v; want %q", name, r, err, c.says)
		}
	}
	var now unix.Timex
	state, err := unix.Adjtimex(&now)
	want := err == nil && state != 5 && now.Status&0x40 == 0
	if r := goalReached(t, spec.Goal{Time: &spec.Time{Synchronised: true}}, scrub.Here{}, scrub.Judge); (r.State == spec.Unchanged) != want {
		t.Errorf("this machine: %+v; want it reached: %v", r, want)
	}
}
