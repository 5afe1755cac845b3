// SPDX-License-Identifier: Apache-2.0

package org.kohsuke.stapler;

public interface StaplerRequest {}
