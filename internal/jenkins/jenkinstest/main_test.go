// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain proves that Close ends every goroutine.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
