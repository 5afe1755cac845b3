// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"fmt"
	"regexp"
	"sync"
)

// console is the log of a build: raw text with console notes in it.
type console struct {
	mu   sync.Mutex
	data []byte
	done bool
}

// consoleNote matches an annotation hidden in the text (hudson.console.ConsoleNote).
var consoleNote = regexp.MustCompile("\x1b\\[8mha:[^\x1b]*\x1b\\[0m")

// noteSample stands in front of lines that Jenkins annotates.
const noteSample = "\x1b[8mha:////4AAAAAAAA9gAAAAAAAAA=AQAB\x1b[0m"

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = append(c.data, p...)
	return len(p), nil
}

func (c *console) printf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = fmt.Appendf(c.data, format, args...)
}

func (c *console) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	c.data = bytes.Clone(c.data) // drop spare capacity: many builds are kept
}

// text is the log without notes, as consoleText serves it.
func (c *console) text() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return stripNotes(c.data)
}

func stripNotes(raw []byte) []byte {
	if bytes.IndexByte(raw, 0x1b) < 0 {
		return bytes.Clone(raw)
	}
	return consoleNote.ReplaceAll(raw, nil)
}

// progress is one answer of progressiveText.
type progress struct {
	body []byte
	size int // X-Text-Size
	more bool
}

// maxProgressLines is how much of a running log one answer holds.
const maxProgressLines = 10_000

// progressive serves the log from an offset. Since 2.509 notes are left in and the
// body of a running build stops at the last line end while the size is that of the
// whole file: a client that continues there loses the rest of the line.
func (c *console) progressive(start int, v version) progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	if start < 0 || start > len(c.data) {
		start = 0
	}
	body := c.data[start:]
	p := progress{size: len(c.data), more: !c.done}
	if !v.since(509) {
		p.body = stripNotes(body)
		return p
	}
	if !c.done {
		body = wholeLines(body)
	}
	p.body = bytes.Clone(body)
	return p
}

func wholeLines(body []byte) []byte {
	end := 0
	for range maxProgressLines {
		i := bytes.IndexByte(body[end:], '\n')
		if i < 0 {
			break
		}
		end += i + 1
	}
	return body[:end]
}
