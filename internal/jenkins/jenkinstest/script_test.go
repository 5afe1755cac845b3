// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestTheScriptConsole(t *testing.T) {
	script := func(j *Jenkins, script string) (string, int) {
		if script == "install" {
			return j.InstallGate(GateOptions{Hook: "console"}), 0
		}
		return fmt.Sprint(len(script)), http.StatusTeapot
	}
	inBubbleNamed(t, "played", Options{Script: script}, func(b *bench) {
		a := b.post(200, "/scriptText", url.Values{"script": {"install"}})
		b.want(a.body, "pitcrew gate test: registered by the console, as the first copy", "output")
		b.want(a.header.Get("Content-Type"), "text/plain;charset=utf-8", "type")
		b.get(200, "/pitcrew-gate/status")
		b.get(405, "/scriptText?script=install")
		b.want(b.post(200, "/scriptText", nil).body, "", "without a script")
		b.want(b.post(200, "/scriptText", url.Values{"script": {strings.Repeat("x", formLimit)}}).body, "", "a form beyond the server's limit is no form")
		parts := "--b\r\nContent-Disposition: form-data; name=\"script\"\r\n\r\n" + strings.Repeat("x", formLimit+1) + "\r\n--b--\r\n"
		b.want(b.expect(http.StatusTeapot, b.do("POST", "/scriptText", parts, "Content-Type", "multipart/form-data; boundary=b"), "multipart").body, formLimit+1, "a part may be longer")
	})
	inBubbleNamed(t, "nobody plays", Options{}, func(b *bench) {
		b.post(500, "/scriptText", url.Values{"script": {"println 1"}})
	})
}
