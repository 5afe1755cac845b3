// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"net/http"
	"testing"
)

func TestABuildIsReadByItsAddress(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/jenkins/job/team/job/a%20b/7/api/json" && r.URL.EscapedPath() != "/jenkins/job/team/job/a%20b/7/api/json" {
			t.Errorf("asked for %s", r.URL)
		}
		answering(200, `{"number":7,"result":"UNSTABLE","timestamp":1000,"duration":2000}`, "Content-Type", "application/json")(w, r)
	})
	b, err := c.BuildAt(t.Context(), "https://elsewhere/jenkins/job/team/job/a%20b/7/")
	if err != nil || b.Job != "team/a b" || b.Result != "UNSTABLE" {
		t.Errorf("got %+v, %v", b, err)
	}
	if _, err := c.BuildAt(t.Context(), "https://elsewhere/queue/item/4/"); err == nil {
		t.Error("what is no build's address is read")
	}
}
