// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"html"
	"mime"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxExcerpt is the length of an excerpt in bytes. Jenkins' pages say what matters in their first sentence.
const maxExcerpt = 300

var (
	// Head, scripts and styles hold no words for people; the layout of Jenkins' pages puts its message after them.
	htmlNoise = regexp.MustCompile(`(?is)<(head|script|style|svg|header|footer|noscript)\b.*?</(head|script|style|svg|header|footer|noscript)\s*>|<!--.*?-->|<!doctype[^>]*>`)
	htmlTag   = regexp.MustCompile(`(?s)</?[a-zA-Z][^>]*>`)
)

// excerpt makes one readable line of an error answer: markup stripped, secrets replaced, cut to maxExcerpt.
func excerpt(contentType string, body []byte, secrets []string) string {
	text := strings.ToValidUTF8(string(body), "")
	if isHTML(contentType) || strings.HasPrefix(strings.TrimSpace(text), "<") {
		text = htmlNoise.ReplaceAllString(text, " ")
		text = htmlTag.ReplaceAllString(text, " ")
		text = html.UnescapeString(text)
	}
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	return cut(oneLine(text), maxExcerpt)
}

// isHTML believes the header alone.
func isHTML(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && strings.Contains(media, "html")
}

// oneLine joins the words of s by single spaces and drops control characters, so that an answer cannot forge log lines.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
