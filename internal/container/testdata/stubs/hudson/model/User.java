// SPDX-License-Identifier: Apache-2.0

package hudson.model;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class User {
    public static final Map<String, User> ALL = new HashMap<>();
    private final List<UserProperty> properties = new ArrayList<>();
    public String password;
    public int saves;

    public static User getById(String id, boolean create) {
        if (create) ALL.computeIfAbsent(id, any -> new User());
        return ALL.get(id);
    }

    public synchronized void addProperty(UserProperty p) throws IOException {
        p.setUser(this);
        properties.add(p);
    }

    public <T extends UserProperty> T getProperty(Class<T> clazz) {
        for (UserProperty p : properties) {
            if (clazz.isInstance(p)) return clazz.cast(p);
        }
        return null;
    }

    public synchronized void save() throws IOException { saves++; }
}
