// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// frame is a piece of one of the streams of a container, as an engine sends it.
func frame(stream byte, text string) string {
	head := make([]byte, 8)
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return string(head) + text
}

// Podman may end the stream of a container's log when that ends, a moment before it has sent what came last.
func TestTheLastLinesOfALogAreAskedFor(t *testing.T) {
	t.Parallel()
	const stdout, stderr = 1, 2
	first := frame(stdout, "one\ntw") + frame(stderr, "bad\n")
	whole := frame(stdout, "one\n") + frame(stdout, "two\nthree\n") + frame(stderr, "bad\nworse\nno end")
	for name, c := range map[string]struct{ followed, read, want string }{
		"the last lines are missing":   {first, whole, "one bad two three worse no end"},
		"nothing is missing":           {whole, whole, "one two three bad worse no end"},
		"nothing was sent":             {"", whole, "one two three bad worse no end"},
		"the log was begun anew":       {first, frame(stdout, "four\n"), "one bad tw"},
		"it cannot be read any more":   {frame(stdout, "one\n") + frame(stderr, "bad\n"), "500", "one bad pitcrew: the log breaks off here: "},
		"the container is gone by now": {whole, "404", "one two three bad worse no end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := ""
				switch {
				case r.URL.Query().Has("follow"):
					answer = c.followed
				case strings.HasSuffix(r.URL.Path, "/logs"):
					answer = c.read
				}
				switch answer {
				case "500":
					w.WriteHeader(http.StatusInternalServerError)
				case "404":
					w.WriteHeader(http.StatusNotFound)
				default:
					_, _ = io.WriteString(w, answer) // the log tells
				}
			})}
			go server.Serve(listener)
			t.Cleanup(func() { server.Close() })
			var log strings.Builder
			b := newBox(Spec{}, newTail(&log, ""))
			if b.engine, err = openEngine(t.Context(), socket, time.Minute); err != nil {
				t.Fatal(err)
			}
			b.follow(t.Context())
			if got := strings.Join(strings.Fields(log.String()), " "); !strings.HasPrefix(got, c.want) || c.read != "500" && got != c.want {
				t.Errorf("%q; want %q", got, c.want)
			}
		})
	}
}
