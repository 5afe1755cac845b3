// SPDX-License-Identifier: Apache-2.0

package recipe

// Carries reports whether the first shell step of a job's config.xml is exactly program p. A final
// line break does not matter: renderings differ in it.
func Carries(config []byte, p *Program) bool {
	root, err := readTree(config)
	if err != nil {
		return false
	}
	return carries(root, trimNewline(string(p.Text)))
}

func carries(n *tree, text string) bool {
	for _, c := range n.children {
		if n.name == "hudson.tasks.Shell" && c.name == "command" {
			return trimNewline(c.text) == text
		}
		if carries(c, text) {
			return true
		}
	}
	return false
}

func trimNewline(s string) string {
	for len(s) > 0 && s[len(s)-1] == '\n' {
		s = s[:len(s)-1]
	}
	return s
}
