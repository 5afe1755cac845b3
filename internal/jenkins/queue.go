// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Queue is what one poll saw of the queue. Items whose job we may not read are missing without a trace.
type Queue struct {
	Session string // as in [Fleet]
	Items   []QueueItem
}

// QueueItem is a request for a build (hudson.model.Queue.Item). Ids survive a restart while the item is queued, and
// become the build's [Build.QueueID].
type QueueItem struct {
	ID        int64
	Class     string // such as hudson.model.Queue$BuildableItem
	Job       string // full name; for a block of a Pipeline, the Pipeline's
	TaskClass string
	URL       string // of the job, or of the build that a block of a Pipeline belongs to
	Why       string // why it waits, in English; empty for items that left
	Params    string // lines "name=value"

	// LabelExpression is what an agent must satisfy to get this item, as far as that can be told. LabelKnown tells
	// whether it is certain; then the empty expression means "any agent that takes jobs without one". If it is not
	// certain and not empty, it may be the name of the only agent that has the label asked for, which is all that
	// Jenkins prints then.
	LabelExpression string
	LabelKnown      bool

	Blocked   bool
	Buildable bool // true for pending items too
	Pending   bool // has an executor, has not begun
	Stuck     bool

	Since      time.Time
	Cancelled  bool
	Executable *Executable // of an item that left; nil for good if no build came of it
}

const taskFields = "task[name,url,labelExpression]"

const itemFields = "id," + taskFields + ",why,params,blocked,buildable,pending,stuck,inQueueSince"

type wireItem struct {
	Class        string          `json:"_class"`
	ID           int64           `json:"id"`
	Task         wireTask        `json:"task"`
	Why          string          `json:"why"`
	Params       string          `json:"params"`
	Blocked      bool            `json:"blocked"`
	Buildable    bool            `json:"buildable"`
	Pending      bool            `json:"pending"`
	Stuck        bool            `json:"stuck"`
	InQueueSince int64           `json:"inQueueSince"` // ms
	Cancelled    bool            `json:"cancelled"`
	Executable   *wireExecutable `json:"executable"`
}

type wireTask struct {
	Class           string         `json:"_class"`
	Name            string         `json:"name"`
	URL             string         `json:"url"`
	LabelExpression optionalString `json:"labelExpression"`
}

// optionalString tells a member that is null from one that is missing.
type optionalString struct {
	present bool
	value   string
}

// UnmarshalJSON is called for null too, but not for a missing member.
func (o *optionalString) UnmarshalJSON(b []byte) error {
	o.present = true
	return json.Unmarshal(b, &o.value)
}

// Queue returns all items: one request, about 330 bytes of answer per item.
func (c *Client) Queue(ctx context.Context) (Queue, error) {
	var q Queue
	err := c.do(ctx, request{
		op: "read queue", method: http.MethodGet, path: "/queue/api/json", query: tree("items[" + itemFields + "]"),
	}, func(r *reply) error {
		q.Session = sessionOf(r.header)
		return elements(json.NewDecoder(r.body), "items", func(dec *json.Decoder) error {
			var w wireItem
			if err := dec.Decode(&w); err != nil {
				return err
			}
			if w.ID != 0 {
				q.Items = append(q.Items, w.item())
			}
			return nil
		})
	})
	if err != nil {
		return Queue{}, err
	}
	return q, nil
}

// QueueItem returns one item, also one that left: one request. [IsNotFound] five minutes after it left, at once after
// a restart if it had left before, and always for items whose job we may not read; then look for the build with
// [Client.RecentBuilds]. An item that left with neither Cancelled nor Executable may get its build in a moment, or never.
func (c *Client) QueueItem(ctx context.Context, id int64) (QueueItem, error) {
	object := "queue item " + strconv.FormatInt(id, 10)
	var w wireItem
	_, err := c.getJSON(ctx, "read", object, fmt.Sprintf("/queue/item/%d/api/json", id),
		tree(itemFields+",cancelled,executable[url,number]"), &w)
	if err != nil {
		return QueueItem{}, err
	}
	if w.ID != id {
		return QueueItem{}, invalid("read", object, errShape)
	}
	return w.item(), nil
}

// CancelQueueItem takes an item out of the queue: one request. [IsNotFound] if it is unknown or hidden, [IsForbidden]
// without Job/Cancel, [IsConflict] if it is too late: it has an executor already, or has left.
func (c *Client) CancelQueueItem(ctx context.Context, id int64) error {
	return c.do(ctx, request{
		op: "cancel", object: "queue item " + strconv.FormatInt(id, 10), method: http.MethodPost,
		path: "/queue/cancelItem", query: url.Values{"id": {strconv.FormatInt(id, 10)}}.Encode(), contentType: formType,
		// hudson.model.Queue#doCancelItem
		kinds: map[int]Kind{http.StatusUnprocessableEntity: KindForbidden, http.StatusInternalServerError: KindConflict},
	}, nil)
}

func (w *wireItem) item() QueueItem {
	i := QueueItem{
		ID: w.ID, Class: w.Class, TaskClass: w.Task.Class, URL: w.Task.URL,
		Why: w.Why, Params: strings.TrimPrefix(w.Params, "\n"),
		Blocked: w.Blocked, Buildable: w.Buildable, Pending: w.Pending, Stuck: w.Stuck, Cancelled: w.Cancelled,
	}
	if w.InQueueSince > 0 {
		i.Since = time.UnixMilli(w.InQueueSince)
	}
	if i.Job, _ = parseBuildURL(w.Task.URL); i.Job == "" {
		i.Job = w.Task.Name
	}
	if w.Executable != nil {
		e := w.Executable.executable(false)
		i.Executable = &e
	}
	i.LabelExpression, i.LabelKnown = effectiveLabel(w.Task, w.Why)
	return i
}
