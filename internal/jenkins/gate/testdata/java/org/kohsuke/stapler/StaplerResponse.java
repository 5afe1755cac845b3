// SPDX-License-Identifier: Apache-2.0

package org.kohsuke.stapler;

import java.io.OutputStream;

public interface StaplerResponse {
    void setStatus(int code);
    void setContentType(String type);
    void setContentLength(int length);
    OutputStream getOutputStream();
}
