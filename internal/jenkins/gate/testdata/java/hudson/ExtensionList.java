// SPDX-License-Identifier: Apache-2.0

package hudson;

import java.util.AbstractList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** As hudson.ExtensionList: iteration is over a copy, what is added comes last (jenkins-reference 3.9). */
public class ExtensionList<T> extends AbstractList<T> {
    private final List<T> all = new CopyOnWriteArrayList<>();

    @Override public T get(int index) { return all.get(index); }
    @Override public int size() { return all.size(); }
    @Override public Iterator<T> iterator() { return all.iterator(); }
    @Override public boolean add(T t) { return all.add(t); }
    @Override public boolean remove(Object o) { return all.remove(o); }
}
