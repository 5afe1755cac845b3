// SPDX-License-Identifier: Apache-2.0

// Package unixhttp asks a server behind a unix socket, in as much of HTTP/1.1 (RFC 9112) as container engines speak. The
// standard library's client would more than double the size of scrub.
//
// Each request has a connection of its own, which ends with it: connecting to a socket of the same machine costs
// nothing, and no answer can be taken for that of another request. Whatever an answer claims, what is read of it is
// bounded; one that is cut off is an error, never a short answer.
package unixhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Response is an answer.
type Response struct {
	Status int // as in RFC 9110: 200, 404, ...
	// Header are the fields of its head, with names in small letters; of several of one name, the last.
	Header map[string]string
	Body   []byte
}

// Limits on the head of an answer. The heads of container engines have some ten lines.
const (
	maxLine  = 8 << 10
	maxLines = 200
)

// ErrTooLarge says that an answer has a longer body than the caller wants.
var ErrTooLarge = errors.New("the answer is larger than anybody wants")

// errNotHTTP says that what comes is no answer in HTTP/1.1.
var errNotHTTP = errors.New("not an answer in HTTP")

// ReadResponse reads one answer with a body of at most limit bytes. Announcements (1xx) before it are passed over.
func ReadResponse(r *bufio.Reader, limit int64) (Response, error) {
	head, f, err := readFinal(r)
	if err != nil || head.Status == 204 || head.Status == 304 {
		return head, err
	}
	head.Body, err = f.body(r, limit)
	return head, err
}

// ReadHead reads the head of one answer, as that to HEAD, which has no body whatever it says.
func ReadHead(r *bufio.Reader) (Response, error) {
	head, _, err := readFinal(r)
	return head, err
}

// readFinal reads the head of the answer that follows all announcements.
func readFinal(r *bufio.Reader) (Response, framing, error) {
	for range maxLines {
		status, err := readStatus(r)
		if err != nil {
			return Response{}, framing{}, err
		}
		header, f, err := readHead(r)
		switch {
		case err != nil:
			return Response{}, f, err
		case status == 101:
			return Response{}, f, fmt.Errorf("%w: it switches to another protocol", errNotHTTP)
		case status >= 200:
			return Response{Status: status, Header: header}, f, nil
		}
	}
	return Response{}, framing{}, fmt.Errorf("%w: announcements without end", errNotHTTP)
}

// readStatus reads a line like "HTTP/1.1 200 OK".
func readStatus(r *bufio.Reader) (int, error) {
	line, err := readLine(r)
	if err != nil {
		return 0, err
	}
	rest, ok := strings.CutPrefix(line, "HTTP/1.")
	if !ok || len(rest) < 5 || rest[0] != '0' && rest[0] != '1' || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' {
		return 0, fmt.Errorf("%w: it begins with %q", errNotHTTP, line[:min(len(line), 40)])
	}
	status, err := strconv.ParseUint(rest[2:5], 10, 16)
	if err != nil || status < 100 || status > 599 {
		return 0, fmt.Errorf("%w: status %q", errNotHTTP, rest[2:5])
	}
	return int(status), nil
}

// framing says where a body ends: after length bytes, behind the last of its chunks, or with the connection if the
// length is -1.
type framing struct {
	length  int64
	chunked bool
}

// readHead reads the fields of a head, up to the empty line, and what they say of the body.
func readHead(r *bufio.Reader) (header map[string]string, f framing, err error) {
	header, f = map[string]string{}, framing{length: -1}
	for range maxLines {
		line, err := readLine(r)
		if err != nil {
			return nil, f, cut(err)
		}
		if line == "" {
			if f.chunked && f.length >= 0 {
				return nil, f, fmt.Errorf("%w: it has two lengths", errNotHTTP)
			}
			return header, f, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, f, fmt.Errorf("%w: field %q", errNotHTTP, line[:min(len(line), 40)])
		}
		name, value = strings.ToLower(name), strings.Trim(value, " \t")
		if err := f.field(name, value); err != nil {
			return nil, f, err
		}
		header[name] = value
	}
	return nil, f, fmt.Errorf("%w: more than %d fields", errNotHTTP, maxLines)
}

func (f *framing) field(name, value string) error {
	switch name {
	case "content-length":
		length, err := strconv.ParseUint(value, 10, 63)
		if err != nil || f.length >= 0 && f.length != int64(length) {
			return fmt.Errorf("%w: length %q", errNotHTTP, value)
		}
		f.length = int64(length)
	case "transfer-encoding":
		if f.chunked || !strings.EqualFold(value, "chunked") {
			return fmt.Errorf("%w: encoding %q", errNotHTTP, value)
		}
		f.chunked = true
	}
	return nil
}

func (f *framing) body(r *bufio.Reader, limit int64) ([]byte, error) {
	switch {
	case f.chunked:
		return readChunks(r, limit)
	case f.length > limit:
		return nil, ErrTooLarge
	case f.length >= 0:
		body, err := io.ReadAll(io.LimitReader(r, f.length)) // what is claimed is not believed: memory grows with what comes
		if err == nil && int64(len(body)) < f.length {
			err = io.ErrUnexpectedEOF
		}
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(body)) > limit {
		return nil, ErrTooLarge
	}
	return body, err
}

// readChunks reads a body in chunks, and the fields behind it.
func readChunks(r *bufio.Reader, limit int64) ([]byte, error) {
	var body []byte
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, cut(err)
		}
		digits, _, _ := strings.Cut(line, ";")
		size, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 63)
		if err != nil {
			return nil, fmt.Errorf("%w: size of a chunk %q", errNotHTTP, digits[:min(len(digits), 40)])
		}
		if size == 0 {
			_, _, err := readHead(r)
			return body, err
		}
		if int64(size) > limit-int64(len(body)) {
			return nil, ErrTooLarge
		}
		before := len(body)
		chunk, err := io.ReadAll(io.LimitReader(r, int64(size)))
		body = append(body, chunk...)
		if err == nil && uint64(len(body)-before) < size { //nolint:gosec // no length is negative
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if line, err := readLine(r); err != nil || line != "" {
			return nil, cut(errors.Join(err, errNotHTTP))
		}
	}
}

// readLine reads a line and takes off its end.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case len(line) > maxLine:
			return "", fmt.Errorf("%w: a line of more than %d bytes", errNotHTTP, maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && len(line) > 0:
			return "", cut(err)
		case err != nil:
			return "", err
		}
		break
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok || strings.ContainsAny(text, "\r\x00") {
		return "", fmt.Errorf("%w: a line has another end than its own", errNotHTTP)
	}
	return text, nil
}

// cut is err, of an answer that ends where it must not.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
