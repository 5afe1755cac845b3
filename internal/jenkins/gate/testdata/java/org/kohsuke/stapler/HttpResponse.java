// SPDX-License-Identifier: Apache-2.0

package org.kohsuke.stapler;

/** As in Stapler since the servlet interfaces of Jakarta; before, there was the second method alone. */
public interface HttpResponse {
    default void generateResponse(StaplerRequest2 req, StaplerResponse2 rsp, Object node) throws Exception { throw new AbstractMethodError(); }

    default void generateResponse(StaplerRequest req, StaplerResponse rsp, Object node) throws Exception { throw new AbstractMethodError(); }
}
