// SPDX-License-Identifier: Apache-2.0

package reconcile

import "github.com/pitcrew-ci/pitcrew/internal/hygiene"

// ScopeAll is the scope of a pause that stops every cleanup of the daemon.
const ScopeAll = "all"

// ControllerScope is the scope of a pause that stops the cleanups on one controller.
func ControllerScope(id hygiene.ControllerID) string { return "controller:" + string(id) }

// PoolScope is the scope of a pause that stops the cleanups of one pool, on all its controllers.
func PoolScope(pool string) string { return "pool:" + pool }
