// SPDX-License-Identifier: Apache-2.0

package hudson.security;

/** As hudson.security.AccessControlled. Who asks is the thread's own: Jenkins keeps that in its security context. */
public interface AccessControlled {
    ThreadLocal<java.util.Set<String>> GRANTED = new ThreadLocal<>(); // null: the system itself

    String getDisplayName();

    default boolean hasPermission(Permission permission) {
        java.util.Set<String> granted = GRANTED.get();
        return granted == null || granted.contains(permission.name) || granted.contains(permission.name + " on " + getDisplayName());
    }

    default void checkPermission(Permission permission) {
        if (!hasPermission(permission)) throw new AccessDeniedException3("lacks " + permission.name);
    }
}
