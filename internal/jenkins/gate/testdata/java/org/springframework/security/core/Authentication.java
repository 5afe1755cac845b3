// SPDX-License-Identifier: Apache-2.0

package org.springframework.security.core;

public interface Authentication {}
