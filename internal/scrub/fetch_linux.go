// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

// head is what a server of HTTP says before the body of an answer.
type head struct {
	status int
	fields map[string]string // by names in small letters
}

// askHead asks a server for the head of what is at a URL of http or https.
//
// Where TLS or a proxy is needed curl or wget asks, whatever the machine has: with them go its certificates and its rules
// for proxies, which are what builds meet. TLS of our own would make scrub half as large again.
func (h Here) askHead(ctx context.Context, url string, direct bool) (head, error) {
	a, err := spec.ParseAddress(url)
	if err != nil {
		return head{}, err
	}
	if a.Scheme == "http" && (direct || os.Getenv("http_proxy") == "") { // as curl and wget read it: never in capital letters
		return h.askPlainly(ctx, a)
	}
	asked, err := h.askByTool(ctx, url, direct)
	if _, absent := errors.AsType[Absent](err); absent {
		why := "https"
		if a.Scheme == "http" {
			why = "a proxy (http_proxy is set)"
		}
		return head{}, fmt.Errorf("%s needs curl or GNU wget, and neither is here", why)
	}
	return asked, err
}

func (h Here) askPlainly(ctx context.Context, a spec.Address) (head, error) {
	conn, err := h.dial(ctx, unix.SOCK_STREAM, a.Host, a.Port)
	if err != nil {
		return head{}, err
	}
	defer conn.Close()
	host := a.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.Port != 80 {
		host += ":" + strconv.Itoa(int(a.Port))
	}
	_, sent := fmt.Fprintf(conn, "HEAD %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: scrub\r\nAccept: */*\r\nConnection: close\r\n\r\n", a.Path, host)
	answer, err := unixhttp.ReadHead(bufio.NewReader(conn))
	switch {
	case ctx.Err() != nil && err != nil:
		err = fmt.Errorf("it does not answer: %w", stopped(ctx))
	case errors.Is(err, io.EOF):
		err = errors.New("it closed the connection without an answer")
	}
	if err != nil {
		return head{}, errors.Join(sent, err)
	}
	return head{answer.Status, answer.Header}, nil
}

// askByTool asks with curl, or else with GNU wget: that of busybox does not look at certificates. Neither reads the
// configuration of whoever runs us.
func (h Here) askByTool(ctx context.Context, url string, direct bool) (head, error) {
	limit := "30"
	if end, ok := ctx.Deadline(); ok {
		limit = strconv.Itoa(max(1, int(time.Until(end).Seconds())))
	}
	curl, err := h.tool("curl")
	if err == nil {
		args := []string{"--disable", "--silent", "--show-error", "--globoff", "--head", "--max-time", limit}
		if direct {
			args = append(args, "--noproxy", "*")
		}
		text, err := curl.run(ctx, append(args, "--url", url)...)
		if err != nil {
			return head{}, err
		}
		return lastHead(string(text))
	}
	wget, err := h.tool("wget")
	if err != nil {
		return head{}, err
	}
	wget = wget.with("HOME=/nonexistent")
	if version, err := wget.run(ctx, "--version"); err != nil || !strings.HasPrefix(string(version), "GNU Wget") {
		return head{}, Absent{"there is only another wget"}
	}
	args := []string{"--server-response", "--spider", "--tries=1", "--max-redirect=0", "--timeout=" + limit}
	if direct {
		args = append(args, "--no-proxy")
	}
	return spidered(wget.said(ctx, append(args, "--", url)...))
}

// spidered reads what wget says. It calls any answer a failure that it would not save, or would follow.
func spidered(text string, err error) (head, error) {
	if exit, failed := errors.AsType[Exit](err); failed {
		text = exit.Text
	}
	answer, none := lastHead(text)
	if none != nil && err != nil {
		return head{}, err
	}
	return answer, none
}

// lastHead reads the last of the heads in a text: before it may be those of proxies.
func lastHead(text string) (head, error) {
	last := head{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if words := strings.Fields(line); len(words) > 1 && strings.HasPrefix(words[0], "HTTP/") {
			status, err := strconv.Atoi(words[1])
			if err != nil {
				return head{}, fmt.Errorf("not an answer in HTTP: %s", shown(line))
			}
			last = head{status, map[string]string{}}
			continue
		}
		if name, value, ok := strings.Cut(line, ":"); ok && last.fields != nil {
			last.fields[strings.ToLower(name)] = strings.TrimSpace(value)
		}
	}
	if last.fields == nil {
		return head{}, errors.New("it said nothing in HTTP")
	}
	return last, nil
}
