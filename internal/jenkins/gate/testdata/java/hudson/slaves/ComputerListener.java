// SPDX-License-Identifier: Apache-2.0

package hudson.slaves;

import hudson.model.Computer;
import hudson.model.TaskListener;
import java.io.IOException;

public abstract class ComputerListener implements hudson.ExtensionPoint {
    public void onOnline(Computer c, TaskListener listener) throws IOException, InterruptedException {}
    public void onOffline(Computer c, OfflineCause cause) {}
}
