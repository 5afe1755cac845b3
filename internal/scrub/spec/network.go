// SPDX-License-Identifier: Apache-2.0

package spec

// Network asks that nothing is left of the network whose whole name is owned: virtual links, named network namespaces,
// tables and chains of nftables, chains of iptables.
//
// What survives whatever it is called: the links that default routes lead over, those that they stand on and their
// members and masters, the loopback, and physical devices.
type Network struct{}
