// SPDX-License-Identifier: Apache-2.0

package hudson.model;

public class Executor extends Thread implements jenkins.model.IExecutor {
    protected final Computer owner;
    private final int number;
    private static final ThreadLocal<Executor> IMPERSONATION = new ThreadLocal<>();
    public volatile boolean used; // assigned; an executor works once in its life (jenkins-reference 3.8)

    public Executor(Computer owner, int n) {
        this.owner = owner;
        number = n;
    }

    public Computer getOwner() { return owner; }
    public int getNumber() { return number; }
    public boolean isIdle() { return !used; }

    public hudson.model.queue.WorkUnit unit;
    public Queue.Executable executable;

    public hudson.model.queue.WorkUnit getCurrentWorkUnit() { return unit; }

    public Queue.Executable getCurrentExecutable() { return executable; }

    public static Executor currentExecutor() {
        Thread t = Thread.currentThread();
        return t instanceof Executor ? (Executor) t : IMPERSONATION.get();
    }

    /** Has the thread act as the executor, as asynchronous executions do. */
    public static void as(Executor executor, Runnable what) {
        IMPERSONATION.set(executor);
        try {
            what.run();
        } finally {
            IMPERSONATION.remove();
        }
    }
}
