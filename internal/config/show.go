// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"

	"github.com/goccy/go-yaml"
)

// Show returns the configuration in effect as YAML, defaults included. Secrets appear as the references they are; of
// the address of a webhook only the host is shown, since the rest may be a secret.
func (c *Config) Show() ([]byte, error) {
	data, err := yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.IndentSequence(false))
	if err != nil {
		return nil, fmt.Errorf("show configuration: %w", err)
	}
	return data, nil
}
