// SPDX-License-Identifier: Apache-2.0

package hudson.remoting;

public interface VirtualChannel {}
