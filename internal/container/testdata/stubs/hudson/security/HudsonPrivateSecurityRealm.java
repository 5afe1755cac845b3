// SPDX-License-Identifier: Apache-2.0

package hudson.security;

import hudson.model.User;
import hudson.security.captcha.CaptchaSupport;
import java.io.IOException;

public class HudsonPrivateSecurityRealm extends SecurityRealm {
    public final boolean signup;

    @Deprecated
    public HudsonPrivateSecurityRealm(boolean allowsSignup) { this(allowsSignup, false, null); }

    public HudsonPrivateSecurityRealm(boolean allowsSignup, boolean enableCaptcha, CaptchaSupport captchaSupport) { signup = allowsSignup; }

    public User createAccount(String userName, String password) throws IOException {
        if (password.length() > 72) throw new IllegalArgumentException("BCrypt takes no more than 72 bytes");
        User user = User.getById(userName, true);
        user.password = password;
        return user;
    }
}
