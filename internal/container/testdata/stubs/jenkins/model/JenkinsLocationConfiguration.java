// SPDX-License-Identifier: Apache-2.0

package jenkins.model;

public class JenkinsLocationConfiguration {
    private static final JenkinsLocationConfiguration ONLY = new JenkinsLocationConfiguration();
    private String url;

    public static JenkinsLocationConfiguration get() { return ONLY; }

    public String getUrl() { return url; }

    public void setUrl(String url) { this.url = url; }
}
