// SPDX-License-Identifier: Apache-2.0

package hudson.model;

import java.util.List;

public class ParametersAction implements Action {
    private final List<ParameterValue> parameters;

    public ParametersAction(List<ParameterValue> parameters) { this.parameters = parameters; }

    public List<ParameterValue> getParameters() { return parameters; }

    public ParameterValue getParameter(String name) {
        for (ParameterValue p : parameters) if (p != null && p.getName().equals(name)) return p;
        return null;
    }

    @Override public String getIconFileName() { return null; }
    @Override public String getDisplayName() { return null; }
    @Override public String getUrlName() { return null; }
}
