// SPDX-License-Identifier: Apache-2.0

package hudson;

import java.util.AbstractList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * As hudson.ExtensionList: iteration is over a copy, what is added comes last (jenkins-reference 3.9). Who asks first loads it, under a
 * lock that all lists share (ensureLoaded, getLoadLock): that must not be somebody who holds the queue's.
 */
public class ExtensionList<T> extends AbstractList<T> {
    private final List<T> all = new CopyOnWriteArrayList<>();
    private volatile boolean loaded;

    private List<T> ensureLoaded() {
        if (!loaded && hudson.model.Queue.locked()) throw new IllegalStateException("extensions are loaded under the queue's lock");
        loaded = true;
        return all;
    }

    @Override public T get(int index) { return ensureLoaded().get(index); }
    @Override public int size() { return ensureLoaded().size(); }
    @Override public Iterator<T> iterator() { return ensureLoaded().iterator(); }
    @Override public boolean add(T t) { return all.add(t); }
    @Override public boolean remove(Object o) {
        boolean was = all.remove(o);
        jenkins.model.Jenkins.get().fewest = Math.min(jenkins.model.Jenkins.get().fewest, all.size());
        return was;
    }
}
