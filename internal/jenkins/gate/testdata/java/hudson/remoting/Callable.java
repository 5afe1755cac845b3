// SPDX-License-Identifier: Apache-2.0

package hudson.remoting;

public interface Callable<V, T extends Throwable> {
    V call() throws T;
}
