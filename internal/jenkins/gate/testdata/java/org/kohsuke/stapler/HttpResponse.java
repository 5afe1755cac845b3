// SPDX-License-Identifier: Apache-2.0

package org.kohsuke.stapler;

/** As in Stapler since the servlet interfaces of Jakarta; before, the two types were StaplerRequest and StaplerResponse. */
public interface HttpResponse {
    void generateResponse(StaplerRequest2 req, StaplerResponse2 rsp, Object node) throws Exception;
}
