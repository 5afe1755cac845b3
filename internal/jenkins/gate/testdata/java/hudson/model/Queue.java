// SPDX-License-Identifier: Apache-2.0

package hudson.model;

import hudson.model.queue.CauseOfBlockage;
import hudson.security.AccessControlled;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.ReentrantLock;

/** As hudson.model.Queue: one lock, items, and three ways to run something under the lock, of which a bare closure takes the wrong one. */
public class Queue {
    private static final Queue INSTANCE = new Queue();
    private static final ReentrantLock LOCK = new ReentrantLock();
    public final List<Item> queued = new CopyOnWriteArrayList<>();

    public static Queue getInstance() { return INSTANCE; }

    /** What whoever asks may see, and nothing of tasks that have no permissions at all. */
    public Item[] getItems() {
        return queued.stream().filter(i -> i.task instanceof AccessControlled && ((AccessControlled) i.task).hasPermission(hudson.model.Item.READ)).toArray(Item[]::new);
    }

    public static int sections; // of the lock, so far

    private static void lock() {
        LOCK.lock();
        if (LOCK.getHoldCount() == 1) sections++;
    }

    public static boolean locked() { return LOCK.isHeldByCurrentThread(); }

    public static void withLock(Runnable runnable) {
        lock();
        try {
            runnable.run();
        } finally {
            LOCK.unlock();
        }
    }

    public static <V, T extends Throwable> V withLock(hudson.remoting.Callable<V, T> callable) throws T {
        lock();
        try {
            return callable.call();
        } finally {
            LOCK.unlock();
        }
    }

    public static <V> V withLock(java.util.concurrent.Callable<V> callable) throws Exception {
        lock();
        try {
            return callable.call();
        } finally {
            LOCK.unlock();
        }
    }

    public interface Task {
        String getFullDisplayName();
        default Label getAssignedLabel() { return null; }
    }

    public interface FlyweightTask extends Task {}

    public interface Executable {
        default Executable getParentExecutable() { return null; }
    }

    public abstract static class Item {
        private final long id;
        public final Task task;
        private final List<Action> actions;

        protected Item(Task task, List<Action> actions, long id) {
            this.task = task;
            this.actions = new ArrayList<>(actions);
            this.id = id;
        }

        List<Action> actions() { return actions; }

        public long getId() { return id; }
        public Label getAssignedLabel() { return task.getAssignedLabel(); }

        public <T extends Action> T getAction(Class<T> type) {
            for (Action a : actions) if (type.isInstance(a)) return type.cast(a);
            return null;
        }
    }

    public static final class WaitingItem extends Item {
        public WaitingItem(Task task, List<Action> actions, long id) { super(task, actions, id); }
    }

    public abstract static class NotWaitingItem extends Item {
        protected NotWaitingItem(Task task, List<Action> actions, long id) { super(task, actions, id); }
    }

    public static final class BlockedItem extends NotWaitingItem {
        public BlockedItem(Task task, List<Action> actions, long id) { super(task, actions, id); }
    }

    public static final class BuildableItem extends NotWaitingItem {
        public BuildableItem(Task task, List<Action> actions, long id) { super(task, actions, id); }
        public BuildableItem(WaitingItem i) { super(i.task, i.actions(), i.getId()); }
        public BuildableItem(NotWaitingItem i) { super(i.task, i.actions(), i.getId()); }
    }

    public static final class LeftItem extends Item {
        private final boolean cancelled;

        public LeftItem(Task task, List<Action> actions, long id, boolean cancelled) {
            super(task, actions, id);
            this.cancelled = cancelled;
        }

        public boolean isCancelled() { return cancelled; }
    }
}
