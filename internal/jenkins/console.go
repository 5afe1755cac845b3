// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
)

// maxConsole is what is read of a console at most, whatever is kept of it.
const maxConsole = 512 << 20

// maxProgress is what one step of a live display takes.
const maxProgress = 4 << 20

// ConsoleText returns the end of the console of a build, at most limit bytes of it, since what a program has to say at
// its end matters most: one request, whose time limit bounds how long a console can be read. truncated tells that the
// beginning is missing. Ask when the build has ended; what the console says before then may be incomplete.
func (c *Client) ConsoleText(ctx context.Context, job string, number int64, limit int) (text []byte, truncated bool, err error) {
	path, err := buildPath(job, number)
	if err != nil {
		return nil, false, invalid("read console", buildObject(job, number), err)
	}
	t := tail{limit: max(limit, 1)}
	err = c.do(ctx, request{
		op: "read console", object: buildObject(job, number), method: http.MethodGet, path: path + "/consoleText", limit: maxConsole,
	}, func(r *reply) error {
		_, err := t.ReadFrom(r.body)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return t.bytes(), t.dropped, nil
}

// ReadFrom reads into what is kept: most consoles are shorter than the buffer that copying them takes.
func (t *tail) ReadFrom(r io.Reader) (total int64, err error) {
	for {
		t.kept = slices.Grow(t.kept, bytes.MinRead)
		n, err := r.Read(t.kept[len(t.kept):cap(t.kept)])
		total += int64(n)
		t.kept = t.kept[:len(t.kept)+n]
		if len(t.kept) >= 2*t.limit {
			t.trim()
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// tail keeps the last limit bytes read. Its buffer grows to a little more than twice that.
type tail struct {
	limit   int
	kept    []byte
	dropped bool
}

func (t *tail) trim() {
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
		t.dropped = true
	}
}

func (t *tail) bytes() []byte {
	t.trim()
	return t.kept
}

// consoleNote is what Jenkins hides in a console for its own pages (hudson.console.ConsoleNote).
var consoleNote = regexp.MustCompile(`\x1b\[8mha:[^\x1b]*\x1b\[0m`)

// ProgressiveText returns what a console gained since start, and where to go on: one request. It is for display while a
// build runs and for nothing else: since Jenkins 2.509 a line that was not complete at one call is missing in the next,
// because next counts it. more tells that the build goes on.
func (c *Client) ProgressiveText(ctx context.Context, job string, number, start int64) (chunk []byte, next int64, more bool, err error) {
	path, err := buildPath(job, number)
	if err != nil {
		return nil, start, false, invalid("follow console", buildObject(job, number), err)
	}
	start = max(start, 0)
	err = c.do(ctx, request{
		op: "follow console", object: buildObject(job, number), method: http.MethodGet, path: path + "/logText/progressiveText",
		query: url.Values{"start": {strconv.FormatInt(start, 10)}}.Encode(),
	}, func(r *reply) error {
		chunk, err = io.ReadAll(io.LimitReader(r.body, maxProgress))
		next, more = progress(r.header, start, len(chunk))
		return err
	})
	if err != nil {
		return nil, start, false, err
	}
	return consoleNote.ReplaceAll(chunk, nil), next, more, nil
}

// progress reads the headers of an answer of length n to a request from start. A size below start means that the log
// was shorter than start: Jenkins then began again at 0 (org.kohsuke.stapler.framework.io.LargeText#doProgressText).
// A size that is missing or no number counts as nothing known beyond what was received.
func progress(h http.Header, start int64, n int) (next int64, more bool) {
	more = h.Get("X-More-Data") == "true"
	size, err := strconv.ParseInt(h.Get("X-Text-Size"), 10, 64)
	if err != nil || size < 0 {
		return start + min(int64(n), math.MaxInt64-start), more
	}
	return size, more
}

// brokenChannel are the words with which lines begin that Jenkins itself writes into the console of a build whose
// agent it has lost: exceptions of its remoting, which no locale translates, and hudson.model.AbstractBuild's own
// message.
var brokenChannel = []string{
	"hudson.remoting.ChannelClosedException", "hudson.remoting.RequestAbortedException",
	"java.nio.channels.ClosedChannelException", "java.io.IOException: Unexpected termination of the channel",
	"java.io.IOException: Backing channel ", "Agent went offline during the build", "Connection was broken",
}

// ConnectionLost reports whether Jenkins says in the console of a build that it lost the agent in the middle. Only
// lines that begin so count: a build that marks each line of its own output can only quote them.
func ConnectionLost(console []byte) bool {
	for line := range bytes.Lines(console) {
		for _, head := range []string{"FATAL: ", "ERROR: ", "Caused: ", "Caused by: "} {
			line = bytes.TrimPrefix(line, []byte(head))
		}
		for _, words := range brokenChannel {
			if bytes.HasPrefix(line, []byte(words)) {
				return true
			}
		}
	}
	return false
}
