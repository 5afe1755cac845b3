// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// builderMark is what Jenkins Job Builder appends to the description of each of its jobs.
const builderMark = "<!-- Managed by Jenkins Job Builder -->"

// SlotDigest returns a digest of what a job's config.xml says, in hex. Two documents have the same digest if they
// differ only in what pitcrew changes itself (assignedNode), in what Jenkins changes when it saves a job (the plugin
// attribute, white space between elements, the order of the job's own settings, empty or false elements that are no trigger, wrapper or step, the encrypted
// empty default of the nonce), in what Jenkins Job Builder adds to the description, and in how characters are spelt. A digest that is not the one of what was
// written means that somebody changed the job.
func SlotDigest(config []byte) (string, error) {
	return digestJob(config, "assignedNode")
}

// JobDigest does the same for a job in which pitcrew changes nothing: of what it is tied to, too.
func JobDigest(config []byte) (string, error) { return digestJob(config, "") }

// digestJob leaves out the job's own elements of that name.
func digestJob(config []byte, without string) (string, error) {
	root, err := readTree(config)
	if err != nil {
		return "", fmt.Errorf("digest job configuration: %w", err)
	}
	var b strings.Builder
	root.children = slices.DeleteFunc(root.children, func(n *tree) bool { return n.name == without })
	for _, n := range root.children {
		if n.name == "description" {
			n.text = strings.TrimSuffix(n.text, builderMark)
		}
	}
	slices.SortStableFunc(root.children, func(a, o *tree) int { return strings.Compare(a.name, o.name) })
	root.canonical(&b)
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:]), nil
}

// OwnerLine returns the line of a description by which [SlotOwner] knows a job's owner.
func OwnerLine(owner string) string { return ownerMark + owner }

// SlotOwner returns the owner that is written in a job's description; it is empty if the job is not pitcrew's.
func SlotOwner(config []byte) (string, error) {
	root, err := readTree(config)
	if err != nil {
		return "", fmt.Errorf("find owner of job: %w", err)
	}
	for _, n := range root.children {
		if n.name == "description" {
			_, owner, _ := strings.Cut(n.text, ownerMark)
			owner, _, _ = strings.Cut(owner, "\n")
			return strings.TrimSpace(owner), nil
		}
	}
	return "", nil
}

// Retarget returns config with the job tied to agent. Nothing but the text of assignedNode changes, byte for byte.
func Retarget(config []byte, agent string) ([]byte, error) {
	tie, err := FindTie(config)
	if err != nil {
		return nil, fmt.Errorf("retarget job to %s: %w", agent, err)
	}
	config, _, err = tie.To(config, agent)
	return config, err
}

// Tie is where a job's configuration names the agent that it is tied to: bytes from Start to End. It is good for configurations
// that are byte for byte the same.
type Tie struct{ Start, End int }

// FindTie looks for the text of a job's assignedNode.
func FindTie(config []byte) (Tie, error) {
	start, end, err := assignedNode(config)
	return Tie{start, end}, err
}

// To returns config, which the tie is of, tied to agent, and the tie of that.
func (t Tie) To(config []byte, agent string) ([]byte, Tie, error) {
	if agent == "" || badCharacter(agent) >= 0 {
		return nil, t, fmt.Errorf("retarget job: %q is no agent", agent)
	}
	node := xmlText.Replace(nodeAtom(agent))
	return slices.Concat(config[:t.Start], []byte(node), config[t.End:]), Tie{t.Start, t.Start + len(node)}, nil
}

// assignedNode returns where the text of the job's own assignedNode begins and ends in config. An element of that name
// deeper down, as plugins have them, is another matter.
func assignedNode(config []byte) (start, end int, err error) {
	dec := tokens(config)
	depth, inside := 0, false
	for {
		before := int(dec.InputOffset())
		t, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			return 0, 0, errors.New("it has no assignedNode")
		}
		if err != nil {
			return 0, 0, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			depth++
			if inside {
				return 0, 0, errors.New("its assignedNode has elements inside")
			}
			if depth == 2 && t.Name.Local == "assignedNode" {
				if bytes.HasSuffix(config[before:dec.InputOffset()], []byte("/>")) {
					return 0, 0, errors.New("its assignedNode is empty")
				}
				inside, start = true, int(dec.InputOffset())
			}
		case xml.EndElement:
			if inside {
				return start, before, nil
			}
			depth--
		}
	}
}

// tokens returns a decoder of config whose offsets are those of config. Jenkins writes XML 1.1, which encoding/xml
// refuses; so the decoder gets a copy of the same length with the version, and references that only 1.1 allows, masked.
func tokens(config []byte) *xml.Decoder {
	masked := versionAttribute.ReplaceAllFunc(config, func(m []byte) []byte {
		return bytes.Replace(m, []byte("1.1"), []byte("1.0"), 1)
	})
	masked = controlReference.ReplaceAllFunc(masked, func(m []byte) []byte { return bytes.Repeat([]byte("?"), len(m)) })
	dec := xml.NewDecoder(bytes.NewReader(masked))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	return dec
}

var (
	versionAttribute = regexp.MustCompile(`\A\s*<\?xml\s+version\s*=\s*["']1\.1["']`)
	controlReference = regexp.MustCompile(`&#(?:0*(?:[1-8]|1[124-9]|2[0-9]|3[01])|[xX]0*(?:[1-8bcefBCEF]|1[0-9a-fA-F]));`)
)

// tree is an element of a job's configuration.
type tree struct {
	name, text string
	attributes []xml.Attr
	children   []*tree
}

func readTree(config []byte) (*tree, error) {
	dec := tokens(config)
	top := &tree{}
	open := []*tree{top}
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		current := open[len(open)-1]
		switch t := t.(type) {
		case xml.StartElement:
			n := &tree{name: t.Name.Local, attributes: t.Attr}
			current.children = append(current.children, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			current.text += string(t)
		}
	}
	if len(top.children) != 1 {
		return nil, errors.New("it has no element")
	}
	return top.children[0], nil
}

// canonical writes n so that only what matters remains.
func (n *tree) canonical(b *strings.Builder) {
	fmt.Fprintf(b, "<%s", n.name)
	for _, a := range n.attributes {
		if a.Name.Local != "plugin" {
			fmt.Fprintf(b, " %s=%q", a.Name.Local, a.Value)
		}
	}
	b.WriteString(">")
	if len(n.children) == 0 {
		fmt.Fprintf(b, "%q", n.text)
	}
	for _, c := range n.children {
		if !c.insignificant(n) {
			c.canonical(b)
		}
	}
	b.WriteString("</>")
}

// acting are the lists of a job in which each element does something, if it has no settings at all: a build wrapper as a
// trigger or a step. In the list of properties plugins leave empty ones of their own.
var acting = []string{"triggers", "builders", "publishers", "buildWrappers"}

// insignificant reports whether n, inside parent, says no more than its absence would.
func (n *tree) insignificant(parent *tree) bool {
	switch {
	case slices.Contains(acting, parent.name):
		return false
	case strings.HasSuffix(parent.name, ".PasswordParameterDefinition") && n.name == "defaultValue":
		return true
	}
	for _, c := range n.children {
		if !c.insignificant(n) {
			return false
		}
	}
	text := strings.TrimSpace(n.text)
	if len(n.children) > 0 {
		text = ""
	}
	return (text == "" || text == "false") && !slices.ContainsFunc(n.attributes, func(a xml.Attr) bool { return a.Name.Local != "plugin" })
}
