// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// mess runs the candidate after a mess, and the production recipe after the same: what both overlook is no news.
func (b *bench) mess(_ context.Context, _ *Case, _ *recipe.Program) error {
	return &skip{"there are no makers of messes"}
}
