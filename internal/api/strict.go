// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// strict refuses parameters that an operation does not have: a mistyped filter must not choose
// everything. It is part of every input, so that these faults are listed with all others.
type strict struct{}

// Resolve is called with each request.
func (strict) Resolve(ctx huma.Context) []error {
	var known []string
	for _, p := range ctx.Operation().Parameters {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	address := ctx.URL()
	var faults []error
	for name := range address.Query() {
		if !slices.Contains(known, name) {
			faults = append(faults, &huma.ErrorDetail{Location: "query." + name, Message: unknownParameter(known)})
		}
	}
	return faults
}

func unknownParameter(known []string) string {
	if len(known) == 0 {
		return "there are no parameters here"
	}
	return fmt.Sprintf("no such parameter; there are %s", strings.Join(known, ", "))
}
