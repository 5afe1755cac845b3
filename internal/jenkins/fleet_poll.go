// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
)

// Fleet returns all agents: one request, about 310 bytes of answer per idle agent before compression, and a second one when an
// agent is newly offline for a cause without a description. It needs Overall/Read; what runs is seen with Job/Read only. An agent
// that is missing need not be gone: ask [Client.Agent].
//
// Agents of which the answer says what the one before said share labels and executables with that: do not change them.
func (c *Client) Fleet(ctx context.Context) (Fleet, error) {
	var f Fleet
	var now []seenComputer
	err := c.do(ctx, request{
		op: "read fleet", method: http.MethodGet, path: "/computer/api/json", query: tree("computer[" + computerFields + "]"),
	}, func(r *reply) (err error) {
		f.Session, f.Version, f.Clock = sessionOf(r.header), r.header.Get("X-Jenkins"), r.clock
		return readWhole(r, func(text []byte) error {
			var err error
			now, err = c.fleet.read(text)
			return err
		})
	})
	if err == nil {
		err = c.tellReasons(ctx, now)
	}
	if err != nil {
		return Fleet{}, err
	}
	f.Agents = c.fleet.keep(now)
	return f, nil
}

// tellReasons asks why agents are offline of which the poll did not say that, nor the one before: one request if there is any.
func (c *Client) tellReasons(ctx context.Context, now []seenComputer) error {
	reasons := map[string]*string{}
	for _, seen := range now {
		if seen.untold {
			reasons[seen.agent.Name] = nil
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	err := c.do(ctx, request{
		op: "read offline reasons", method: http.MethodGet, path: "/computer/api/json", query: tree("computer[displayName,offlineCauseReason]"),
	}, func(r *reply) error {
		return elements(json.NewDecoder(r.body), "computer", func(dec *json.Decoder) error {
			var w wireComputer
			err := dec.Decode(&w)
			if _, wanted := reasons[w.DisplayName]; wanted {
				text := w.reason()
				reasons[w.DisplayName] = &text
			}
			return err
		})
	})
	for i := range now {
		if text := reasons[now[i].agent.Name]; now[i].untold && text != nil {
			now[i].agent.OfflineReason, now[i].untold = *text, false
		}
	}
	return err
}

// fleetMemory is the newest answer about all agents. Most agents are from poll to poll what they were, and decoding what
// is said of one takes twenty times longer than to see that it is the same.
type fleetMemory struct {
	seen atomic.Pointer[[]seenComputer] // which are not changed
}

// seenComputer is a computer with what the answer said of it.
type seenComputer struct {
	raw    []byte
	agent  Agent
	untold bool // it is offline, and why is still to be asked for
}

// read decodes an answer, which is not remembered before [fleetMemory.keep].
func (m *fleetMemory) read(answer []byte) ([]seenComputer, error) {
	var before []seenComputer
	if seen := m.seen.Load(); seen != nil {
		before = *seen
	}
	now := make([]seenComputer, 0, len(before)+1)
	var w wireComputer
	err := eachElement(answer, "computer", func(s *scan) error {
		if n := len(now); n < len(before) && s.same(before[n].raw) {
			now = append(now, before[n])
			return nil
		}
		raw, err := s.value()
		if err != nil {
			return err
		}
		w.reset()
		if err := json.Unmarshal(raw, &w); err != nil {
			return err
		}
		now = append(now, seenComputer{bytes.Clone(raw), w.agent(), w.OfflineCause != nil && w.OfflineCause.Description == ""})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return now, nil
}

// keep remembers what was read, which must not change any more, and returns the agents of it.
func (m *fleetMemory) keep(now []seenComputer) []Agent {
	m.seen.Store(&now)
	var agents []Agent
	for i := range now {
		if now[i].agent.Name == "" {
			continue
		}
		if agents == nil {
			agents = make([]Agent, 0, len(now)-i)
		}
		agents = append(agents, now[i].agent)
	}
	return agents
}
