// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

func agentRow(a hygiene.Agent) (r rows.Agent, err error) {
	r = rows.Agent{
		Controller: string(a.ID.Controller), Name: a.ID.Name,
		Pool: a.Pool, State: string(a.State), Since: millis(a.Since), Need: string(a.Need), Reason: a.Reason,
		Attempt: a.Attempt, Epoch: a.Epoch, Failures: int64(a.Failures), NextLook: millis(a.NextLook),
		LastServed: millis(a.LastServed), LastCleaned: millis(a.LastCleaned), LabelsAt: millis(a.LabelsAt),
		Settled: a.Settled, Machine: a.Machine, Host: a.Host, Version: a.Version,
		Adopted: millis(a.Adopted), Mark: a.Mark, Depth: string(a.Depth),
	}
	if r.Quarantine, err = encode(a.Quarantine); err != nil {
		return r, fmt.Errorf("quarantine: %w", err)
	}
	if r.Hold, err = encode(a.Hold); err != nil {
		return r, fmt.Errorf("hold: %w", err)
	}
	if r.Loan, err = encode(a.Loan); err != nil {
		return r, fmt.Errorf("loan: %w", err)
	}
	if r.Used, err = encode(a.Used); err != nil {
		return r, fmt.Errorf("used: %w", err)
	}
	if r.Stuck, err = encode(a.Stuck); err != nil {
		return r, fmt.Errorf("stuck: %w", err)
	}
	if len(a.Boots) > 0 {
		if r.Boots, err = encode(&a.Boots); err != nil {
			return r, fmt.Errorf("boots: %w", err)
		}
	}
	return r, nil
}

func agentOf(r rows.Agent) (a hygiene.Agent, err error) {
	a = hygiene.Agent{
		ID:   agentID(r.Controller, r.Name),
		Pool: r.Pool, State: hygiene.State(r.State), Since: moment(r.Since), Need: hygiene.Need(r.Need), Reason: r.Reason,
		Attempt: r.Attempt, Epoch: r.Epoch, Failures: int(r.Failures), NextLook: moment(r.NextLook),
		LastServed: moment(r.LastServed), LastCleaned: moment(r.LastCleaned), LabelsAt: moment(r.LabelsAt),
		Settled: r.Settled, Machine: r.Machine, Host: r.Host, Version: r.Version,
		Adopted: moment(r.Adopted), Mark: r.Mark, Depth: hygiene.Depth(r.Depth),
	}
	if a.Quarantine, err = decode[hygiene.Quarantine](r.Quarantine); err != nil {
		return a, fmt.Errorf("read quarantine of agent %s: %w", a.ID, err)
	}
	if a.Hold, err = decode[hygiene.Hold](r.Hold); err != nil {
		return a, fmt.Errorf("read hold of agent %s: %w", a.ID, err)
	}
	if a.Loan, err = decode[hygiene.Loan](r.Loan); err != nil {
		return a, fmt.Errorf("read loan of agent %s: %w", a.ID, err)
	}
	if a.Used, err = decode[hygiene.Use](r.Used); err != nil {
		return a, fmt.Errorf("read use of agent %s: %w", a.ID, err)
	}
	if a.Stuck, err = decode[hygiene.Stuck](r.Stuck); err != nil {
		return a, fmt.Errorf("read why agent %s is stuck: %w", a.ID, err)
	}
	boots, err := decode[hygiene.Boots](r.Boots)
	if err != nil {
		return a, fmt.Errorf("read boots of agent %s: %w", a.ID, err)
	}
	if boots != nil {
		a.Boots = *boots
	}
	return a, nil
}

func attemptRow(t hygiene.Attempt) (r rows.InsertAttemptParams, err error) {
	r = rows.InsertAttemptParams{
		Controller: string(t.Agent.Controller), Agent: t.Agent.Name, Number: t.Number, Nonce: t.Nonce,
		Pool: t.Pool, Recipe: t.Recipe, Revision: t.Revision, Need: string(t.Need), Delivery: string(t.Delivery),
		Session: t.Session, Claimed: millis(t.Claimed), Handed: millis(t.Handed), Started: millis(t.Started),
		Ended: millis(t.Ended), Proved: millis(t.Proved), Reconnect: int64(t.Reconnect), Asked: string(t.Asked),
		Outcome: string(t.Outcome), Reason: t.Reason, Step: t.Step,
		Began: millis(t.Began), Lost: millis(t.Lost), UsedBy: t.UsedBy, Depth: string(t.Depth),
	}
	if t.Run != (hygiene.Run{}) {
		r.Run, err = encode(&t.Run)
	}
	return r, err
}

// proceeding is what of an attempt may change while it goes on.
func proceeding(r rows.InsertAttemptParams) rows.ProceedAttemptParams {
	return rows.ProceedAttemptParams{
		Controller: r.Controller, Agent: r.Agent, Number: r.Number, Nonce: r.Nonce, Recipe: r.Recipe, Revision: r.Revision,
		Need: r.Need, Delivery: r.Delivery, Session: r.Session, Claimed: r.Claimed, Handed: r.Handed, Started: r.Started, Proved: r.Proved,
		Reconnect: r.Reconnect, Asked: r.Asked, Outcome: r.Outcome, Reason: r.Reason, Step: r.Step, Run: r.Run, Began: r.Began, Lost: r.Lost,
		Depth: r.Depth,
	}
}

func attemptOf(r rows.Attempt) (hygiene.Attempt, error) {
	t := hygiene.Attempt{
		Agent: agentID(r.Controller, r.Agent), Number: r.Number, Nonce: r.Nonce,
		Pool: r.Pool, Recipe: r.Recipe, Revision: r.Revision, Need: hygiene.Need(r.Need), Delivery: hygiene.Delivery(r.Delivery),
		Session: r.Session, Claimed: moment(r.Claimed), Handed: moment(r.Handed), Started: moment(r.Started),
		Ended: moment(r.Ended), Proved: moment(r.Proved), Reconnect: int(r.Reconnect), Asked: hygiene.Outcome(r.Asked),
		Outcome: hygiene.Outcome(r.Outcome), Reason: r.Reason, Step: r.Step,
		Began: moment(r.Began), Lost: moment(r.Lost), UsedBy: r.UsedBy, Depth: hygiene.Depth(r.Depth),
	}
	run, err := decode[hygiene.Run](r.Run)
	if err != nil {
		return t, fmt.Errorf("read run of agent %s, attempt %d: %w", t.Agent, t.Number, err)
	}
	if run != nil {
		t.Run = *run
	}
	return t, nil
}

func eventRow(e hygiene.Event) (rows.InsertEventParams, error) {
	r := rows.InsertEventParams{
		Type: string(e.Type), At: millis(e.At), Actor: e.Actor, Subject: e.Subject,
		Controller: string(e.Agent.Controller), Agent: e.Agent.Name, Pool: e.Pool, Attempt: e.Attempt,
		Before: string(e.Before), After: string(e.After), Reason: e.Reason,
	}
	if len(e.Data) == 0 {
		return r, nil
	}
	data, err := json.Marshal(e.Data)
	r.Data = string(data)
	return r, err
}

func eventOf(r rows.Event) (hygiene.Event, error) {
	e := hygiene.Event{
		ID: r.ID, Type: hygiene.EventType(r.Type), At: moment(r.At), Actor: r.Actor, Subject: r.Subject,
		Agent: agentID(r.Controller, r.Agent), Pool: r.Pool, Attempt: r.Attempt,
		Before: hygiene.State(r.Before), After: hygiene.State(r.After), Reason: r.Reason,
	}
	if r.Data == "" {
		return e, nil
	}
	if err := json.Unmarshal([]byte(r.Data), &e.Data); err != nil {
		return e, fmt.Errorf("read data of event %d: %w", e.ID, err)
	}
	return e, nil
}

func agentID(controller, name string) hygiene.AgentID {
	return hygiene.AgentID{Controller: hygiene.ControllerID(controller), Name: name}
}

// encode writes what v points to as JSON, and nothing for nil.
func encode[T any](v *T) (string, error) {
	if v == nil {
		return "", nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func decode[T any](text string) (*T, error) {
	if text == "" {
		return nil, nil
	}
	v := new(T)
	return v, json.Unmarshal([]byte(text), v)
}

// each converts all rows, or none.
func each[R, T any](found []R, convert func(R) (T, error)) ([]T, error) {
	out := make([]T, 0, len(found))
	for _, r := range found {
		v, err := convert(r)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
