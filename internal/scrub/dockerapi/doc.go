// SPDX-License-Identifier: Apache-2.0

// Package dockerapi speaks with Docker and Podman in the language of the Docker Engine API
// (https://docs.docker.com/reference/api/engine/), and in Podman's own about pods.
//
// It lists, removes, and runs one container to its end, and judges nothing. What an engine no longer has when it is asked about or removed is gone, and
// no error. Nothing is ever removed by force that something else needs: an engine that refuses has its reason, and that
// becomes the error.
package dockerapi
