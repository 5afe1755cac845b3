// SPDX-License-Identifier: Apache-2.0

package spec

// KVM asks that the kernel can run virtual machines for the user that builds.
type KVM struct {
	// Nested asks that these can run machines of their own.
	Nested bool `json:"nested,omitempty"`
}
