// SPDX-License-Identifier: Apache-2.0

package hudson.model;

public class OneOffExecutor extends Executor {
    public OneOffExecutor(Computer owner) { super(owner, -1); }
}
