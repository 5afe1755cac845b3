// SPDX-License-Identifier: Apache-2.0

package javax.servlet;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

public class ServletContext {
    private final Map<String, Object> attributes = new ConcurrentHashMap<>();

    public Object getAttribute(String name) { return attributes.get(name); }
    public void removeAttribute(String name) { attributes.remove(name); }
    public void setAttribute(String name, Object value) { attributes.put(name, value); }
}
