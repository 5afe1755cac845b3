// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const queueAnswer = `{"_class":"hudson.model.Queue","items":[
 {"_class":"hudson.model.Queue$BuildableItem","blocked":false,"buildable":true,"id":17,"inQueueSince":1700000000000,"params":"\nA=1\nB=2","pending":false,"stuck":true,
  "task":{"_class":"hudson.model.FreeStyleProject","labelExpression":"clean&&el7","name":"app","url":"http://ci/job/team/job/app/"},
  "why":"Waiting for next available executor on ‘linux-7’"},
 {"_class":"hudson.model.Queue$WaitingItem","blocked":false,"buildable":false,"id":18,"inQueueSince":1700000001000,"params":"","stuck":false,
  "task":{"_class":"hudson.model.FreeStyleProject","labelExpression":null,"name":"roams","url":"http://ci/job/roams/"},"why":"In the quiet period. Expires in 4 sec"},
 {"_class":"hudson.model.Queue$BuildableItem","blocked":false,"buildable":true,"id":19,"inQueueSince":1700000002000,"params":"","pending":true,"stuck":false,
  "task":{"_class":"org.jenkinsci.plugins.workflow.support.steps.ExecutorStepExecution$PlaceholderTask","name":"part of pipe #3","url":"http://ci/job/pipe/3/"},
  "why":"All nodes of label ‘clean’ are offline"}
]}`

func TestQueueTellsWhatIsWantedOfWhom(t *testing.T) {
	t.Parallel()
	got, err := clientOf(t, answering(200, queueAnswer, "X-Jenkins-Session", "s")).Queue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Queue{Session: "s", Items: []QueueItem{
		{
			ID: 17, Class: "hudson.model.Queue$BuildableItem", Job: "team/app", TaskClass: "hudson.model.FreeStyleProject",
			URL: "http://ci/job/team/job/app/", Why: "Waiting for next available executor on ‘linux-7’", Params: "A=1\nB=2",
			LabelExpression: "clean&&el7", LabelKnown: true, Buildable: true, Stuck: true, Since: time.UnixMilli(1700000000000),
		},
		{
			ID: 18, Class: "hudson.model.Queue$WaitingItem", Job: "roams", TaskClass: "hudson.model.FreeStyleProject",
			URL: "http://ci/job/roams/", Why: "In the quiet period. Expires in 4 sec", LabelKnown: true, Since: time.UnixMilli(1700000001000),
		},
		{
			ID: 19, Class: "hudson.model.Queue$BuildableItem", Job: "pipe",
			TaskClass: "org.jenkinsci.plugins.workflow.support.steps.ExecutorStepExecution$PlaceholderTask",
			URL:       "http://ci/job/pipe/3/", Why: "All nodes of label ‘clean’ are offline",
			LabelExpression: "clean", LabelKnown: true, Buildable: true, Pending: true, Since: time.UnixMilli(1700000002000),
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheLabelOfAnItemIsFoundWhereJenkinsShowsIt(t *testing.T) {
	t.Parallel()
	exported := func(l string) optionalString { return optionalString{present: true, value: l} }
	const placeholder = "org.jenkinsci.plugins.workflow.support.steps.ExecutorStepExecution$PlaceholderTask"
	for _, tt := range []struct {
		name  string
		task  wireTask
		why   string
		label string
		known bool
	}{
		{"a job's own", wireTask{LabelExpression: exported("clean && el7")}, "Finished waiting", "clean && el7", true},
		{"a job's own, waiting for the only node", wireTask{LabelExpression: exported("clean")}, "Waiting for next available executor on ‘linux-7’", "clean", true},
		{"overridden by a parameter, nobody has it", wireTask{LabelExpression: exported("linux")}, "There are no nodes with the label ‘mac&&arm’", "mac&&arm", true},
		{"overridden by a parameter, a node lacks it", wireTask{LabelExpression: exported("")}, "‘a1’ doesn’t have label ‘linux-7’; ‘a2’ is offline", "linux-7", true},
		{"no label", wireTask{LabelExpression: exported("")}, "‘a1’ is reserved for jobs with matching label expression; ‘a2’ is reserved for jobs with matching label expression", "", true},
		{"a block, many nodes or one", wireTask{Class: placeholder}, "Waiting for next available executor on ‘clean’", "clean", false},
		{"a block, the only node is offline", wireTask{Class: placeholder}, "Jenkins is about to shut down; ‘linux 7’ is offline", "linux 7", false},
		{"a block, all nodes are offline", wireTask{Class: placeholder}, "All nodes of label ‘clean’ are offline", "clean", true},
		{"a block without label", wireTask{Class: placeholder}, "‘a1’ is reserved for jobs with matching label expression", "", true},
		{"a block that waits for anything", wireTask{Class: placeholder}, "Waiting for next available executor", "", true},
		{"a block, node not accepting", wireTask{Class: placeholder}, "‘linux-7’ is not accepting tasks", "", false},
		{"a main run of a Pipeline", wireTask{Class: pipelineJob}, "", "", true},
		{"a label with an apostrophe", wireTask{}, "There are no nodes with the label ‘bob’s’", "bob’s", true},
		{"a text cut off", wireTask{}, "There are no nodes with the label ‘bob", "", false},
		{"another language", wireTask{}, "Warte auf nächsten freien Build-Prozessor", "", false},
		{"nothing known", wireTask{}, "", "", false},
	} {
		label, known := effectiveLabel(tt.task, tt.why)
		if label != tt.label || known != tt.known {
			t.Errorf("%s: got %q %t, want %q %t", tt.name, label, known, tt.label, tt.known)
		}
	}
}

func TestAnItemThatLeftTellsItsBuildOrItsCancellation(t *testing.T) {
	t.Parallel()
	const task = `"task":{"_class":"hudson.model.FreeStyleProject","name":"x","url":"http://ci/job/x/"}`
	for _, tt := range []struct {
		name, body string
		cancelled  bool
		build      int64
	}{
		{"started", `{"_class":"hudson.model.Queue$LeftItem","id":5,"why":null,"cancelled":false,"executable":{"_class":"hudson.model.FreeStyleBuild","number":8,"url":"http://ci/job/x/8/"},` + task + `}`, false, 8},
		{"cancelled", `{"_class":"hudson.model.Queue$LeftItem","id":5,"why":null,"cancelled":true,"executable":null,` + task + `}`, true, 0},
		{"left without a build yet", `{"_class":"hudson.model.Queue$LeftItem","id":5,"why":null,"cancelled":false,"executable":null,` + task + `}`, false, 0},
	} {
		i, err := clientOf(t, answering(200, tt.body)).QueueItem(t.Context(), 5)
		if err != nil {
			t.Fatal(tt.name, err)
		}
		if i.Cancelled != tt.cancelled || (i.Executable != nil) != (tt.build != 0) || i.Executable != nil && i.Executable.Number != tt.build {
			t.Errorf("%s: %+v", tt.name, i)
		}
	}
	if _, err := clientOf(t, answering(200, `{}`)).QueueItem(t.Context(), 5); err == nil {
		t.Error("an answer about nothing was taken for the item")
	}
	if _, err := clientOf(t, answering(404, ``)).QueueItem(t.Context(), 5); !IsNotFound(err) {
		t.Errorf("forgotten item: %v", err)
	}
}

func TestCancellingTellsTooLateFromNotAllowed(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]func(error) bool{
		204: func(err error) bool { return err == nil },
		404: IsNotFound, 422: IsForbidden, 500: IsConflict, 503: IsRetryable,
	} {
		var j journal
		c := clientOf(t, func(w http.ResponseWriter, r *http.Request) { j.add(r); w.WriteHeader(status) })
		if err := c.CancelQueueItem(t.Context(), 42); !want(err) {
			t.Errorf("%d: got %v of kind %s", status, err, KindOf(err))
		}
		if j.String() != "POST /jenkins/queue/cancelItem?id=42" {
			t.Errorf("requests:\n%s", j.String())
		}
	}
}

func FuzzQueue(f *testing.F) {
	f.Add(queueAnswer)
	f.Add(`{"items":[{"id":1,"task":null,"why":"‘’ is offline"},{"id":2,"task":{"labelExpression":[]}}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		q, err := clientOf(t, answering(200, body)).Queue(t.Context())
		var e *Error
		if err != nil && (!errors.As(err, &e) || len(q.Items) > 0) {
			t.Fatalf("%d items with error %v", len(q.Items), err)
		}
		for _, i := range q.Items {
			if i.ID == 0 {
				t.Fatalf("item without id: %+v", i)
			}
		}
	})
}
