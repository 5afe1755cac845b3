// SPDX-License-Identifier: Apache-2.0

package hudson.slaves;

public abstract class OfflineCause {}
