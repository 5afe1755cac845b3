// SPDX-License-Identifier: Apache-2.0

package jenkins.security;

import hudson.model.User;
import hudson.model.UserProperty;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

public class ApiTokenProperty extends UserProperty {
    public final List<String> tokens = new ArrayList<>();

    public String addFixedNewToken(String name, String tokenPlainValue) throws IOException {
        if (!tokenPlainValue.matches("11[a-f0-9]{32}")) throw new IllegalArgumentException("not a token");
        tokens.add(tokenPlainValue);
        user.save(); // of the real one: it has to belong to a user
        return "uuid";
    }
}
