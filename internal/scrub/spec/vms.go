// SPDX-License-Identifier: Apache-2.0

package spec

// VMs asks that libvirt has no virtual machine whose name is owned, running or not, with its snapshots, saved state and
// firmware settings; and no owned network, nor owned volume if Volumes says so.
//
// The network "default" stays, as do networks that a machine which stays is connected to, and volumes that such a
// machine uses or that another volume which stays is made from.
type VMs struct {
	// URI is the connection as virsh takes it; "" means qemu:///system.
	URI string `json:"uri,omitempty"`
	// All owns whatever libvirt has: for hosts whose virtual machines are all of CI.
	All bool `json:"all,omitempty"`
	// Keep are patterns (as in path.Match) of names that stay, whoever owns them.
	Keep []string `json:"keep,omitempty"`
	// Volumes has volumes of active storage pools go too: those of an owned name or in an owned path.
	Volumes bool `json:"volumes,omitempty"`
}
