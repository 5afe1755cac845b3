// SPDX-License-Identifier: Apache-2.0

package hudson.security.captcha;

public abstract class CaptchaSupport {}
