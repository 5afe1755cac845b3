// SPDX-License-Identifier: Apache-2.0

package hudson.model;

import hudson.remoting.VirtualChannel;
import hudson.security.AccessControlled;
import hudson.security.Permission;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

public abstract class Computer implements AccessControlled, jenkins.model.IComputer {
    public static final Permission CONFIGURE = new Permission("Agent/Configure");
    public static final Permission EXTENDED_READ = new Permission("Agent/ExtendedRead");

    protected final List<Executor> executors = new CopyOnWriteArrayList<>();
    protected final List<OneOffExecutor> oneOffExecutors = new CopyOnWriteArrayList<>();

    public abstract VirtualChannel getChannel();
    public abstract String getName();
    public abstract Node getNode();

    public boolean isOffline() { return getChannel() == null; }
    public final boolean isOnline() { return !isOffline(); }
    public boolean isAcceptingTasks() { return true; }
    public List<Executor> getExecutors() { return new ArrayList<>(executors); }
    public List<OneOffExecutor> getOneOffExecutors() { return new ArrayList<>(oneOffExecutors); }

    public final boolean isIdle() {
        if (!oneOffExecutors.isEmpty()) return false;
        for (Executor e : executors) if (!e.isIdle()) return false;
        return true;
    }

    @Override public String getDisplayName() { return getName(); }
}
