// SPDX-License-Identifier: Apache-2.0

package hudson.util;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** As hudson.util.ConsistentHash: a ring of what was added with a share. Here each stands at its own name, and once, whatever its share. */
public class ConsistentHash<T> {
    public interface Hash<T> {
        String hash(T t);
    }

    private final TreeSet<T> ring = new TreeSet<>();

    public ConsistentHash() {}

    public ConsistentHash(int defaultReplication) {}

    public ConsistentHash(Hash<T> hash) {}

    public ConsistentHash(Hash<T> hash, int defaultReplication) {}

    @SafeVarargs
    public final void addAll(T... all) { throw new UnsupportedOperationException(); }

    public void addAll(Collection<? extends T> all) { throw new UnsupportedOperationException(); }

    public void addAll(Map<? extends T, Integer> shares) {
        for (Map.Entry<? extends T, Integer> e : shares.entrySet()) {
            if (e.getValue() == 0) ring.remove(e.getKey());
            else ring.add(e.getKey());
        }
    }

    public Iterable<T> list(int query) { throw new UnsupportedOperationException(); }

    /** All of them, from the place of the query on. */
    @SuppressWarnings("unchecked")
    public Iterable<T> list(String query) {
        List<T> all = new ArrayList<>(ring.tailSet((T) query));
        all.addAll(ring.headSet((T) query));
        return all;
    }
}
