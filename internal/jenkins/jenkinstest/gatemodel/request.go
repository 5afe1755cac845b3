// SPDX-License-Identifier: Apache-2.0

package gatemodel

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxAgents is how many agents one request may name.
const maxAgents = 1000

// parse reads a request: the orders in it, or what is wrong with it.
func parse(verb, text string, protocol int) (orders []order, fault string) {
	value, ok := decode(text)
	if !ok {
		return nil, "the field request is not JSON"
	}
	request, ok := value.(map[string]any)
	if !ok {
		return nil, "the request is no object"
	}
	if p, ok := request["protocol"].(json.Number); !ok || !equals(p, protocol) {
		return nil, fmt.Sprintf("protocol %s is not spoken here, %d is", shown(request["protocol"]), protocol)
	}
	owner, _ := request["owner"].(string)
	if owner == "" {
		return nil, "owner is missing"
	}
	instead, ok := request["insteadOf"].(string)
	if !ok && request["insteadOf"] != nil {
		return nil, "insteadOf is no text"
	}
	agents, _ := request["agents"].([]any)
	if len(agents) < 1 || len(agents) > maxAgents {
		return nil, fmt.Sprintf("agents is no list of 1 to %d", maxAgents)
	}
	for _, one := range agents {
		o, fault := parseOrder(verb, one)
		if fault != "" {
			return nil, fault
		}
		o.owner, o.instead = owner, instead
		orders = append(orders, o)
	}
	return orders, ""
}

func parseOrder(verb string, value any) (o order, fault string) {
	one, _ := value.(map[string]any)
	if o.agent, _ = one["agent"].(string); o.agent == "" {
		return o, "an agent has no name"
	}
	needed := verb == "claim" || verb == "grant"
	if n, ok := whole(one["attempt"]); ok {
		o.attempt = &n
	}
	switch {
	case needed && (o.attempt == nil || *o.attempt < 1), !needed && o.attempt == nil && one["attempt"] != nil:
		return o, "attempt of " + o.agent + " is no number"
	}
	var ok bool
	if o.job, ok = one["job"].(string); !ok && one["job"] != nil && verb == "claim" {
		return o, "job of " + o.agent + " is no text"
	}
	for _, flag := range []struct {
		name string
		to   *bool
	}{{"renew", &o.renew}, {"offline", &o.offline}} {
		if *flag.to, ok = one[flag.name].(bool); !ok && one[flag.name] != nil {
			return o, flag.name + " of " + o.agent + " is neither true nor false"
		}
	}
	return o, ""
}

// decode reads one JSON value. Groovy's parser takes an object that ends after its first character for an empty one.
func decode(text string) (value any, ok bool) {
	if strings.TrimSpace(text) == "{" {
		return map[string]any{}, true
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return nil, false
	}
	_, err := d.Token()
	return value, err == io.EOF
}

func equals(n json.Number, want int) bool {
	f, err := n.Float64()
	return err == nil && f == float64(want)
}

// whole is a value that is a number without a fraction, of 64 bits.
func whole(value any) (int64, bool) {
	n, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(n.String(), 10, 64)
	return i, err == nil
}

func shown(value any) string {
	if value == nil {
		return "null"
	}
	return fmt.Sprint(value)
}
