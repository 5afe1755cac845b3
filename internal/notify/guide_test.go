// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/notify"
)

// received is a request as the receiver of the guide is told of it.
type received struct {
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// What the guide tells receivers to do is done, with the guide's own text.
func TestTheGuideVerifiesSignatures(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs python3")
	}
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal("python3 is missing; install the Debian package python3")
	}
	if err != nil {
		t.Skip("there is no python3; CI runs this test")
	}
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```python\n")
	code, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the guide has no Python")
	}
	var asked []received
	for _, key := range []string{"canary", "whsec_Y2FuYXJ5"} {
		ours := receive(t, key)
		changed, old := ours, ours
		changed.Body += " "
		old.Headers = maps.Clone(ours.Headers)
		old.Headers["Webhook-Timestamp"] = "1"
		asked = append(asked, ours, changed, old)
	}
	input, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	code += "\nimport json, sys\nfor a in json.load(sys.stdin): print(genuine(a['secret'], a['headers'], a['body'].encode()))\n"
	cmd := exec.CommandContext(t.Context(), python, "-c", code)
	cmd.Stdin = bytes.NewReader(input)
	said, err := cmd.CombinedOutput()
	if want := strings.Repeat("True\nFalse\nFalse\n", 2); err != nil || string(said) != want {
		t.Errorf("of ours, a changed one and an old one, for both forms of key, it says %v:\n%s", err, said)
	}
}

// receive has a webhook send a notice and returns what arrives.
func receive(t *testing.T, key string) received {
	t.Helper()
	got := received{Secret: key, Headers: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is missing does not verify
		got.Body = string(body)
		for name := range r.Header {
			got.Headers[name] = r.Header.Get(name)
		}
	}))
	defer server.Close()
	hook := &notify.Webhook{URL: secret(server.URL), Key: secret(key), Client: server.Client()}
	if err := hook.Send(t.Context(), notice()); err != nil {
		t.Fatal(err)
	}
	return got
}
