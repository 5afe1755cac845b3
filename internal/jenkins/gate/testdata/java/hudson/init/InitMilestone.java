// SPDX-License-Identifier: Apache-2.0

package hudson.init;

/** As hudson.init.InitMilestone: init scripts run between the two. */
public enum InitMilestone {
    JOB_CONFIG_ADAPTED,
    COMPLETED
}
