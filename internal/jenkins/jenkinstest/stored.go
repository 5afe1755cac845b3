// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	emptyElement = regexp.MustCompile(`<([\w.$:-]+)></([\w.$:-]+)>`)
	textQuote    = regexp.MustCompile(`&(?:quot|apos);`)
	tagOrText    = regexp.MustCompile(`<[^>]*>|[^<]+`)
)

// stored is a job's document as it was posted, in the form in which Jenkins keeps and
// shows it until something saves the job: passed through an identity transformation
// (jenkins.util.xml.XMLUtils#safeTransform of JDK 17). That puts the root on the line of
// the prologue, writes empty elements short, quotes as they are and characters beyond the
// basic plane as references. Comments and white space stay.
func stored(data []byte) []byte {
	version := "1.0"
	if m := declaration.FindSubmatch(data); m != nil {
		version, data = string(m[1]), data[len(m[0]):]
	}
	if version == "1.1" {
		data = plainLineEnds(data)
	}
	out := fmt.Appendf(nil, `<?xml version="%s" encoding="UTF-8"?>`, version)
	body := emptyElement.ReplaceAllFunc(bytes.TrimSpace(data), func(m []byte) []byte {
		if names := emptyElement.FindSubmatch(m); bytes.Equal(names[1], names[2]) {
			return fmt.Appendf(nil, "<%s/>", names[1])
		}
		return m
	})
	if textQuote.Match(body) {
		body = tagOrText.ReplaceAllFunc(body, func(m []byte) []byte {
			if m[0] == '<' {
				return m
			}
			return bytes.ReplaceAll(bytes.ReplaceAll(m, []byte("&quot;"), []byte(`"`)), []byte("&apos;"), []byte("'"))
		})
	}
	for len(body) > 0 {
		beyond := bytes.IndexFunc(body, func(r rune) bool { return r > 0xFFFF })
		if beyond < 0 {
			return append(out, body...)
		}
		r, size := utf8.DecodeRune(body[beyond:])
		out = fmt.Appendf(append(out, body[:beyond]...), "&#%d;", r)
		body = body[beyond+size:]
	}
	return out
}

// plainLineEnds makes line feeds of what XML 1.1 takes for line ends (section 2.11 of its
// specification): two characters that 1.0 leaves alone.
func plainLineEnds(data []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\u0085"), []byte("\n")), []byte("\u2028"), []byte("\n"))
}

// sealSecrets writes the secrets of a job as a save does: encrypted, empty ones too
// (hudson.util.Secret).
func sealSecrets(e *element) {
	for _, c := range e.children {
		if e.name == "hudson.model.PasswordParameterDefinition" && c.name == "defaultValue" && !strings.HasPrefix(c.text, "{") {
			c.text = "{AQAAABAAAAAQ" + base64.StdEncoding.EncodeToString([]byte("sealed "+c.text)) + "}"
		}
		sealSecrets(c)
	}
}
