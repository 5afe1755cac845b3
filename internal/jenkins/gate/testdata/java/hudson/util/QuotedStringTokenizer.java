// SPDX-License-Identifier: Apache-2.0

package hudson.util;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * As hudson.util.QuotedStringTokenizer with one argument: words at blanks, quotes of both kinds taken away. A backslash that is not the first character
 * of a word makes the next one ordinary; it goes if that is a backslash, a quote or a space.
 */
public class QuotedStringTokenizer {
    private final Iterator<String> words;

    public QuotedStringTokenizer(String text) {
        List<String> all = new ArrayList<>();
        StringBuilder word = null;
        char quote = 0;
        int start = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (quote == 0 && " \t\n\r".indexOf(c) >= 0) {
                if (word != null) all.add(word.toString());
                word = null;
                continue;
            }
            if (word == null) {
                word = new StringBuilder();
                start = i;
            }
            if (c == '\\' && i > start && i + 1 < text.length()) {
                char next = text.charAt(++i);
                if ("\\\"' ".indexOf(next) < 0) word.append(c);
                word.append(next);
            } else if (quote == 0 && (c == '"' || c == '\'')) quote = c;
            else if (c == quote) quote = 0;
            else word.append(c);
        }
        if (word != null) all.add(word.toString());
        words = all.iterator();
    }

    public boolean hasMoreTokens() { return words.hasNext(); }
    public String nextToken() { return words.next(); }
}
