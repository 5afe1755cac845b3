// SPDX-License-Identifier: Apache-2.0

// Package podmantest lets tests use a real Podman that is theirs alone.
//
// A test that wants one runs once more in namespaces of its own, see [InNamespaces]: what it mounts, starts and publishes there is gone
// with it, whatever fails, and nobody else's engine, network or files are touched. It needs root, Podman, runc and ip.
package podmantest
