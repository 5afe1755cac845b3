// SPDX-License-Identifier: Apache-2.0

package hudson;

public interface ExtensionPoint {}
