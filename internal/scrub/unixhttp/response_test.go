// SPDX-License-Identifier: Apache-2.0

package unixhttp_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

const most = 1000

func read(text string) (unixhttp.Response, error) {
	return unixhttp.ReadResponse(bufio.NewReader(strings.NewReader(text)), most)
}

func TestAnswersAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text   string
		status int
		body   string
	}{
		"with a length":       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more", 200, "hello"},
		"with no reason":      {"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, ""},
		"of HTTP/1.0":         {"HTTP/1.0 500 Bad\r\n\r\nto the end", 500, "to the end"},
		"in chunks":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n", 200, "abc0123456789"},
		"with fields behind":  {"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n", 200, "a"},
		"without a body":      {"HTTP/1.1 204 No Content\r\nX: y\r\n\r\nnot a body", 204, ""},
		"behind an announced": {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x"},
		"twice the length":    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 200, "x"},
		"as much as allowed":  {"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", most), 200, strings.Repeat("x", most)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := read(c.text)
			if err != nil || got.Status != c.status || string(got.Body) != c.body {
				t.Errorf("read %d %q, %v; want %d %q", got.Status, got.Body, err, c.status, c.body)
			}
		})
	}
	if got, err := read("HTTP/1.1 200 OK\r\nApi-VERSION:  1.41 \r\nContent-Length: 0\r\n\r\n"); err != nil || got.Header["api-version"] != "1.41" {
		t.Errorf("fields %q, %v; want the version", got.Header, err)
	}
}

func TestWhatIsNoWholeAnswerIsAnError(t *testing.T) {
	t.Parallel()
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	notHTTP := errors.New("not an answer in HTTP")
	for name, c := range map[string]struct {
		text string
		want error // or one that says the same
	}{
		"nothing":                     {"", io.EOF},
		"a cut status":                {"HTTP/1.1 20", io.ErrUnexpectedEOF},
		"a cut head":                  {ok + "A: b\r\n", io.ErrUnexpectedEOF},
		"a cut body":                  {ok + "Content-Length: 5\r\n\r\nhell", io.ErrUnexpectedEOF},
		"a cut chunk":                 {chunked + "5\r\nhell", io.ErrUnexpectedEOF},
		"no last chunk":               {chunked + "1\r\nx\r\n", io.ErrUnexpectedEOF},
		"no end behind the chunks":    {chunked + "0\r\n", io.ErrUnexpectedEOF},
		"a longer chunk than it says": {chunked + "1\r\nxy\r\n0\r\n\r\n", notHTTP},
		"a chunk of no size":          {chunked + "\r\n", notHTTP},
		"a chunk of negative size":    {chunked + "-1\r\nx", notHTTP},
		"another protocol":            {"SSH-2.0-OpenSSH_9.2\r\n", notHTTP},
		"another version":             {"HTTP/2.0 200 OK\r\n\r\n", notHTTP},
		"a status of two digits":      {"HTTP/1.1 20 OK\r\n\r\n", notHTTP},
		"a status of four digits":     {"HTTP/1.1 2000 OK\r\n\r\n", notHTTP},
		"an upgrade":                  {"HTTP/1.1 101 Switching\r\n\r\n", notHTTP},
		"bare line ends":              {"HTTP/1.1 200 OK\n\n", notHTTP},
		"a field without a name":      {ok + ": x\r\n\r\n", notHTTP},
		"a folded field":              {ok + "A: b\r\n c: d\r\n\r\n", notHTTP},
		"no field":                    {ok + "hello\r\n\r\n", notHTTP},
		"a length that is none":       {ok + "Content-Length: 1x\r\n\r\nx", notHTTP},
		"an empty length":             {ok + "Content-Length:\r\n\r\nx", notHTTP},
		"two lengths":                 {ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", notHTTP},
		"a length and chunks":         {ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", notHTTP},
		"an unknown encoding":         {ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", notHTTP},
		"announcements without end":   {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000), notHTTP},
		"fields without end":          {ok + strings.Repeat("A: b\r\n", 1000), notHTTP},
		"a line without end":          {ok + "A: " + strings.Repeat("b", 1<<20), notHTTP},
		"a larger body":               {ok + "\r\n" + strings.Repeat("x", most+1), unixhttp.ErrTooLarge},
		"a larger length":             {ok + "Content-Length: 9223372036854775807\r\n\r\nx", unixhttp.ErrTooLarge},
		"a larger chunk":              {chunked + "7fffffffffffffff\r\nx", unixhttp.ErrTooLarge},
		"too many chunks":             {chunked + strings.Repeat("1\r\nx\r\n", most+1), unixhttp.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := read(c.text)
			if err == nil || !errors.Is(err, c.want) && !strings.Contains(err.Error(), c.want.Error()) {
				t.Errorf("read %+v, %v; want the error %q", got, err, c.want)
			}
		})
	}
}

// FuzzReadResponse compares with the standard library: what we take for an answer, it does too, and for the same one.
func FuzzReadResponse(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{}", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := unixhttp.ReadResponse(bufio.NewReader(bytes.NewReader(text)), most)
		if err != nil {
			return
		}
		if len(got.Body) > most || got.Status < 200 || got.Status > 599 {
			t.Fatalf("status %d with %d bytes", got.Status, len(got.Body))
		}
		status, body, err := byStandard(text)
		if err != nil {
			t.Skip(err) // it is stricter about what we do not look at: the signs in names and values of fields
		}
		if status != got.Status || !bytes.Equal(body, got.Body) {
			t.Fatalf("read %d %q; the standard library reads %d %q", got.Status, got.Body, status, body)
		}
	})
}

func byStandard(text []byte) (int, []byte, error) {
	r := bufio.NewReader(bytes.NewReader(text))
	for {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return 0, nil, err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode >= 200 {
			return answer.StatusCode, body, err
		}
	}
}
