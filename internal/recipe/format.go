// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"encoding/json"
	"fmt"
)

// Format returns the lines that a program prints for r, sentinels included: what [ParseReport] reads. It is for
// whatever stands in for the shell, such as a simulation.
func (r Report) Format(nonce string) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("format report of attempt %d: %w", r.Attempt, err)
	}
	body = append(body, '\n')
	return fmt.Appendf(nil, "%s %d %s\n%s%s %d %s %s\n", beginSentinel, r.Attempt, nonce, body, endSentinel, r.Attempt, nonce, cksum(body)), nil
}
