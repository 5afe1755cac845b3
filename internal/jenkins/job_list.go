// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"
)

// jobPage is the number of jobs asked for at once.
const jobPage = 500

// maxFolderDepth ends the descent into folders; Jenkins itself is unusable long before.
const maxFolderDepth = 40

// JobInfo is a job as an audit sees it.
type JobInfo struct {
	FullName string
	Class    string
	URL      string
	// LabelExpression is what agents must satisfy; empty with LabelKnown means that the job may run on any agent that
	// takes jobs without one. Pipelines choose agents while they run: LabelKnown is false.
	LabelExpression string
	LabelKnown      bool
	Disabled        bool
	Buildable       bool
}

type wireJob struct {
	Class           string            `json:"_class"`
	Name            string            `json:"name"`
	FullName        string            `json:"fullName"`
	URL             string            `json:"url"`
	Color           string            `json:"color"`
	LabelExpression optionalString    `json:"labelExpression"`
	Disabled        bool              `json:"disabled"`
	Buildable       bool              `json:"buildable"`
	Jobs            []json.RawMessage `json:"jobs"` // present in folders only
}

const jobFields = "name,fullName,url,color,labelExpression,disabled,buildable,jobs[name]{0,1}"

// Jobs iterates over all jobs that we may read, folders and multibranch projects included: per folder one request and
// one more for each 500 jobs begun. After an error it ends.
func (c *Client) Jobs(ctx context.Context) iter.Seq2[JobInfo, error] {
	return func(yield func(JobInfo, error) bool) { c.jobsIn(ctx, "", 0, yield) }
}

// jobsIn yields the jobs of a folder, "" being the top; it returns false if the iteration is to end.
func (c *Client) jobsIn(ctx context.Context, folder string, depth int, yield func(JobInfo, error) bool) bool {
	for from := 0; ; from += jobPage {
		jobs, err := c.jobPageOf(ctx, folder, from)
		if err != nil {
			yield(JobInfo{}, err)
			return false
		}
		for _, w := range jobs {
			info := w.info(folder)
			switch {
			case w.Jobs == nil:
				if !yield(info, nil) {
					return false
				}
			case depth < maxFolderDepth:
				if !c.jobsIn(ctx, info.FullName, depth+1, yield) {
					return false
				}
			}
		}
		// A page can be short of elements that Jenkins could not export, so only one far from full is the last.
		if len(jobs) <= jobPage/2 {
			return true
		}
	}
}

func (c *Client) jobPageOf(ctx context.Context, folder string, from int) ([]wireJob, error) {
	path := ""
	if folder != "" {
		p, err := jobPath(folder)
		if err != nil {
			return nil, invalid("list jobs", jobObject(folder), err)
		}
		path = p
	}
	var jobs []wireJob
	err := c.do(ctx, request{
		op: "list jobs", object: "folder " + quotedOrTop(folder), method: http.MethodGet, path: path + "/api/json",
		query: tree(fmt.Sprintf("jobs[%s]{%d,%d}", jobFields, from, from+jobPage)),
	}, func(r *reply) error {
		return elements(json.NewDecoder(r.body), "jobs", func(dec *json.Decoder) error {
			var w wireJob
			if err := dec.Decode(&w); err != nil {
				return err
			}
			if w.Name != "" || w.FullName != "" {
				jobs = append(jobs, w)
			}
			return nil
		})
	})
	return jobs, err
}

func quotedOrTop(folder string) string {
	if folder == "" {
		return "at the top"
	}
	return fmt.Sprintf("%q", folder)
}

func (w *wireJob) info(folder string) JobInfo {
	i := JobInfo{
		FullName: w.FullName, Class: w.Class, URL: w.URL,
		LabelExpression: w.LabelExpression.value, LabelKnown: w.LabelExpression.present,
		Disabled: w.Disabled || strings.HasPrefix(w.Color, "disabled"), Buildable: w.Buildable,
	}
	if i.FullName == "" {
		i.FullName = strings.TrimPrefix(folder+"/"+w.Name, "/")
	}
	return i
}
