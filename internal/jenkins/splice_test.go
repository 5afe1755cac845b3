// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

func splice(t *testing.T, doc string, wanted ...string) string {
	t.Helper()
	o, err := parseOutline([]byte(doc))
	if err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	got, err := spliceLabels([]byte(doc), o, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestOnlyTheTextOfTheLabelChanges(t *testing.T) {
	t.Parallel()
	const head, foot = `<?xml version="1.1" encoding="UTF-8"?>` + "\n<slave plugin=\"x@1.2\">\n  <name>a</name>\n", "\n  <nodeProperties/>\n</slave>"
	wrap := func(s string) string { return head + s + foot }
	for _, tt := range []struct{ name, before, after string }{
		{"a usual one", wrap(`  <label>cleanable linux dirty</label>`), wrap(`  <label>cleanable linux clean</label>`)},
		{"empty", wrap(`  <label></label>`), wrap(`  <label>cleanable linux clean</label>`)},
		{"an empty element", wrap(`  <label/>`), wrap(`  <label>cleanable linux clean</label>`)},
		{"an empty element with attribute and blank", wrap(`  <label class="string" />`), wrap(`  <label class="string" >cleanable linux clean</label>`)},
		{"none at all", "<slave>\n  <name>a</name>\n</slave>", "<slave>\n  <name>a</name>\n  <label>cleanable linux clean</label>\n</slave>"},
		{"spacing of others is kept", wrap("  <label>\n\tcleanable   linux\tdirty </label>"), wrap("  <label>\n\tcleanable   linux clean</label>")},
		{"the middle one goes", wrap(`  <label>cleanable   dirty  linux</label>`), wrap(`  <label>cleanable   linux clean</label>`)},
		{"the first one goes", wrap(`  <label>dirty linux cleanable</label>`), wrap(`  <label>linux cleanable clean</label>`)},
		{"duplicates", wrap(`  <label>dirty linux dirty linux cleanable dirty</label>`), wrap(`  <label>linux linux cleanable clean</label>`)},
		{"odd escapes of others are kept", wrap(`  <label>cleanable &#108;inux dirty</label>`), wrap(`  <label>cleanable &#108;inux clean</label>`)},
		{"CR between labels is kept", wrap(`  <label>cleanable&#xd;linux&#13;dirty</label>`), wrap(`  <label>cleanable&#xd;linux clean</label>`)},
		{
			"look-alikes nested, in comments, CDATA and attributes", wrap(`  <!-- <label>no</label> --><description label="&lt;label>"><![CDATA[<label>no</label>]]></description><x><label>no</label></x><label>linux</label>`),
			wrap(`  <!-- <label>no</label> --><description label="&lt;label>"><![CDATA[<label>no</label>]]></description><x><label>no</label></x><label>linux cleanable clean</label>`),
		},
		{"a prefix makes another element", wrap(`  <p:label>no</p:label><label>linux</label>`), wrap(`  <p:label>no</p:label><label>linux cleanable clean</label>`)},
		{"characters that only 1.1 allows", wrap(`  <description>&#x1b;[1m&#7;&#x1B;</description><label>linux</label>`), wrap(`  <description>&#x1b;[1m&#7;&#x1B;</description><label>linux cleanable clean</label>`)},
		{"label in CDATA", wrap(`  <label><![CDATA[linux dirty]]></label>`), wrap(`  <label>cleanable linux clean</label>`)},
		{"label with a comment", wrap(`  <label>linux <!-- dirty --></label>`), wrap(`  <label>cleanable linux clean</label>`)},
		{"single quotes in the prologue, CR LF", "<?xml version='1.1' encoding='UTF-8'?>\r\n<slave>\r\n<name>a</name>\r\n<label>linux</label>\r\n</slave>\r\n", "<?xml version='1.1' encoding='UTF-8'?>\r\n<slave>\r\n<name>a</name>\r\n<label>linux cleanable clean</label>\r\n</slave>\r\n"},
		{"version 1.0", "<?xml version='1.0'?><slave><name>a</name><label>linux</label></slave>", "<?xml version='1.0'?><slave><name>a</name><label>linux cleanable clean</label></slave>"},
		{"no prologue", "<com.example.Node><name>a</name><label>linux</label></com.example.Node>", "<com.example.Node><name>a</name><label>linux cleanable clean</label></com.example.Node>"},
		{"a byte order mark", "\ufeff<?xml version='1.1'?><slave><name>a</name><label>linux</label></slave>", "\ufeff<?xml version='1.1'?><slave><name>a</name><label>linux cleanable clean</label></slave>"},
	} {
		if diff := cmp.Diff(tt.after, splice(t, tt.before, "cleanable", "linux", "clean")); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestLabelsOfOthersSurviveWhateverTheyLookLike(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		raw    string
		wanted []string
		want   string
	}{
		{`&quot;two words&quot; dirty`, []string{"two words", "clean"}, `&quot;two words&quot; clean`},
		{`x&apos;y z&apos;w dirty`, []string{"xy zw", "clean"}, `x&apos;y z&apos;w clean`},
		{`c\ d dirty`, []string{"c d"}, `c\ d`},
		{`größe 日本 dirty`, []string{"größe", "日本"}, `größe 日本`},
		{`a&amp;b &lt;c&gt; dirty`, []string{"a&b", "<c>", "clean"}, `a&amp;b &lt;c&gt; clean`},
		{`dirty`, nil, ``},
		{`dirty`, []string{"a b", `q"`}, `&quot;a b&quot; &quot;q\&quot;&quot;`},
		{`open &quot;quote`, []string{"open", "quote", "clean"}, `open quote clean`}, // cannot be added to: written anew
		{`&unknown; dirty`, []string{"x"}, `x`},
	} {
		doc := "<slave><name>a</name><label>" + tt.raw + "</label></slave>"
		if strings.Contains(tt.raw, "&unknown;") {
			if _, err := parseOutline([]byte(doc)); err == nil {
				t.Errorf("%s: an unknown entity was accepted", tt.raw)
			}
			continue
		}
		want := "<slave><name>a</name><label>" + tt.want + "</label></slave>"
		if diff := cmp.Diff(want, splice(t, doc, tt.wanted...)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.raw, diff)
		}
	}
}

func TestDocumentsThatCannotBeEditedSafelyAreRefused(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"empty":                 "",
		"a page":                "<html><p>no</html>",
		"cut off":               "<slave><name>a</name><label>x</lab",
		"not closed":            "<slave><name>a</name><label>x</label>",
		"crossed":               "<slave><name>a</name><label>x</slave></label>",
		"two roots":             "<slave><name>a</name></slave><slave/>",
		"text after the root":   "<slave><name>a</name></slave>x",
		"two labels":            "<slave><name>a</name><label>x</label><label>y</label></slave>",
		"two names":             "<slave><name>a</name><name>b</name></slave>",
		"elements in the label": "<slave><name>a</name><label><b>x</b></label></slave>",
		"not utf-8":             "<slave><name>\xff</name></slave>",
		"raw control character": "<slave><name>\x01</name></slave>",
		"just a tag":            "<",
		"entity":                "<!DOCTYPE s [<!ENTITY e 'x'>]><slave><name>a</name><label>&e;</label></slave>",
	} {
		if n, err := parseNodeConfig([]byte(doc)); err == nil {
			t.Errorf("%s: got %+v", name, n)
		}
	}
	o, err := parseOutline([]byte("<slave></slave>"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spliceLabels([]byte("<slave></slave>"), o, []string{"x"}); err == nil {
		t.Error("a document without any element was edited")
	}
	for _, label := range []string{"", "a\x00b", "a\nb", "\xff", "\x1b"} {
		if checkLabel(label) == nil {
			t.Errorf("%q was accepted as a label", label)
		}
	}
}

func TestANodeIsReadWithoutItsLookAlikes(t *testing.T) {
	t.Parallel()
	n, err := parseNodeConfig([]byte(`<?xml version="1.1" encoding="UTF-8"?>
<slave>
  <temporaryOfflineCause class="hudson.slaves.OfflineCause$UserCause"><timestamp>1</timestamp><message>&#x1b;</message></temporaryOfflineCause>
  <name>it&apos;s</name>
  <numExecutors>2</numExecutors>
  <mode>EXCLUSIVE</mode>
  <retentionStrategy class="hudson.slaves.RetentionStrategy$Demand"><inDemandDelay>1</inDemandDelay></retentionStrategy>
  <launcher class="hudson.plugins.sshslaves.SSHLauncher" plugin="ssh-slaves@2"><mode>NORMAL</mode><name>x</name></launcher>
  <label>a &quot;b c&quot;</label>
</slave>`))
	if err != nil {
		t.Fatal(err)
	}
	if string(n.mark) != `<temporaryOfflineCause class="hudson.slaves.OfflineCause$UserCause"><timestamp>1</timestamp><message>&#x1b;</message></temporaryOfflineCause>` {
		t.Errorf("mark is %s", n.mark)
	}
	n.doc, n.outline, n.mark = nil, nil, nil
	want := NodeConfig{
		Name: "it's", Kind: "slave", Mode: "EXCLUSIVE", Executors: 2, LabelString: `a "b c"`, Labels: []string{"a", "b c"},
		LauncherClass: "hudson.plugins.sshslaves.SSHLauncher", RetentionClass: "hudson.slaves.RetentionStrategy$Demand", TemporarilyOffline: true,
	}
	if diff := cmp.Diff(want, n, cmp.AllowUnexported(NodeConfig{})); diff != "" {
		t.Error(diff)
	}
}

// FuzzLabelSplice holds the promise that matters most: of somebody's configuration nothing but the label changes, and
// the label then means what was wanted.
func FuzzLabelSplice(f *testing.F) {
	for _, label := range []string{"cleanable dirty", `&quot;a b&quot;  c`, "<![CDATA[x]]>", "a<!-- x -->", "&#xd;", "\\", "'", `a\`} {
		f.Add(fmt.Sprintf(linux7, label), "cleanable", "clean")
	}
	f.Add("<s><n>&#x1;</n><label/></s>", "x y", "\"")
	f.Add("<?xml version='1.1'?><s a='>'><!-- <label> --><n/></s>", "a", "b")
	f.Fuzz(func(t *testing.T, doc, one, two string) {
		o, err := parseOutline([]byte(doc))
		if err != nil {
			return
		}
		wanted := []string{one, two}
		edited, err := spliceLabels([]byte(doc), o, wanted)
		if err != nil {
			return
		}
		after, err := parseOutline(edited)
		if err != nil {
			t.Fatalf("%v after the edit of %q:\n%s", err, doc, edited)
		}
		e, err := after.child("label")
		if err != nil || e == nil {
			t.Fatalf("no single label after the edit of %q: %v\n%s", doc, err, edited)
		}
		text, _, ok := decodedText(string(edited[e.from:e.to]))
		if !ok || !sameLabels(labelexpr.Tokens(text), wanted) {
			t.Fatalf("labels are %q, wanted %q in\n%s", labelexpr.Tokens(text), wanted, edited)
		}
		before, _ := o.child("label")
		sameAround(t, []byte(doc), before, edited, e)
	})
}

// sameAround fails unless the two documents are equal around the content of their labels.
func sameAround(t *testing.T, a []byte, ea *element, b []byte, eb *element) {
	t.Helper()
	switch {
	case ea == nil: // inserted: taking it out again gives the old document
		cutOut := append(bytes.Clone(b[:eb.start-len("\n  ")]), b[eb.end:]...)
		if !bytes.Equal(cutOut, a) {
			t.Fatalf("not an insertion:\n%s\n%s", a, b)
		}
	case ea.empty: // opened: its tag lost the slash
		if !bytes.Equal(a[:ea.start], b[:eb.start]) || !bytes.Equal(a[ea.end:], b[eb.end:]) ||
			strings.TrimRight(string(a[ea.start:ea.end]), "/>") != strings.TrimRight(string(b[eb.start:eb.from]), ">") {
			t.Fatalf("more than the label changed:\n%s\n%s", a, b)
		}
	default:
		if !bytes.Equal(a[:ea.from], b[:eb.from]) || !bytes.Equal(a[ea.to:], b[eb.to:]) {
			t.Fatalf("more than the label changed:\n%s\n%s", a, b)
		}
	}
}
