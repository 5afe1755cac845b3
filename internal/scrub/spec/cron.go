// SPDX-License-Identifier: Apache-2.0

package spec

// Cron asks that no owned user has a crontab or a job that at or batch holds for later.
type Cron struct{}
