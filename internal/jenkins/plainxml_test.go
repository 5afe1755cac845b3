// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plainNode is a document as Jenkins writes it.
const plainNode = `<?xml version='1.1' encoding='UTF-8'?>
<slave>
  <name>münchen &lt;1&gt;</name>
  <description></description>
  <remoteFS>/srv/ci</remoteFS>
  <numExecutors>1</numExecutors>
  <launcher class="hudson.slaves.JNLPLauncher">
    <tunnel>a&amp;b</tunnel>
  </launcher>
  <retentionStrategy class='hudson.slaves.RetentionStrategy$Always'/>
  <label>cleanable el9</label>
  <nodeProperties/>
</slave>
`

const plainEntries = `<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><link rel="alternate" href="http://ci/"/>
<author><name>Jenkins Server</name></author><entry><title>team » app #12 (stable)</title><link rel="alternate" type="text/html" href="http://ci/job/team/job/app/12/"/>
<id>12</id><published>2026-11-22T10:00:00Z</published><updated>2026-11-22T10:00:00Z</updated></entry><entry><link href="http://ci/job/a/3/"/></entry></feed>`

func TestWhatJenkinsWritesIsPlain(t *testing.T) {
	t.Parallel()
	if _, ok := plainOutline([]byte(plainNode)); !ok {
		t.Error("a configuration is left to encoding/xml")
	}
	if builds, ok := plainFeed([]byte(plainEntries)); !ok || len(builds) != 2 {
		t.Errorf("a feed is left to encoding/xml, or has not 2 builds: %v", builds)
	}
}

// odd are documents in which something is not plain, or looks so.
var odd = []string{
	"", " ", "<a/>", "<a></a>", "<a><b/></a>", "<a><b></b></a> x", "<a><b></a></b>", "<a></a><b></b>", "<a><b>]]></b></a>", "<a><b>]]&gt;</b></a>",
	"<a><b><!-- c --></b></a>", "<a><b><![CDATA[c]]></b></a>", "<a><?x y?></a>", "<a><b c='&lt;' class=\"&quot;\" class='2'/></a>", "<a><b c=d/></a>",
	"<a><b  c='d'/></a>", "<a><b c = 'd'/></a>", "<a><b c='d' /></a>", "<a ><b\n/></a >", "<a><b>&#65;</b></a>", "<a><b>&nbsp;</b></a>", "<a><b>&amp</b></a>",
	"<a><x:b>c</x:b></a>", "<a><b>\ufffe</b></a>", "<a><b>\x01</b></a>", "<a><b>\r\n</b></a>", "<a><b c='>'/></a>", "<a><b c='<'/></a>", "\ufeff<a><b>c</b></a>",
	"<?xml version='1.1'?><a><b>c</b></a>", "<a><b>c", "<a", "<", "<>", "</>", "</a>", "<a/", "<a><b c></b></a>", "<a><b c='d'e='f'/></a>", "<1><b/></1>", "<a>\u00a0<b/>\u0085</a>\u0085",
	"<feed><entry><title>a</title><title>b</title><link href='http://ci/job/a/1/'/></entry></feed>",
	"<feed><entry><title>a<b/>c</title><link href='http://ci/job/a/1/'/></entry></feed>",
	"<feed><entry><author><link href='http://ci/job/a/1/'/></author></entry></feed>",
	"<feed><entry><author><entry><link href='http://ci/job/a/1/'/></entry></author></entry></feed>",
	"<feed><entry><link>http://ci/job/b/2/</link><link href='http://ci/job/a/1/'/><published/></entry></feed>",
	"<feed><x><entry><link href='http://ci/job/a/1/'/></entry></x></feed>", "<feed><entry/></feed>", "<feed></feed>", "<rss><entry></entry></rss>",
}

// FuzzPlain compares what is read quickly with what encoding/xml reads.
func FuzzPlain(f *testing.F) {
	for _, doc := range append(odd, plainNode, plainEntries, feed) {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		if quick, ok := plainOutline([]byte(doc)); ok {
			strict, err := strictOutline([]byte(doc))
			if diff := cmp.Diff(strict, quick, cmp.AllowUnexported(outline{}, element{})); err != nil || diff != "" {
				t.Errorf("outline of %q: %v\n%s", doc, err, diff)
			}
		}
		if quick, ok := plainFeed([]byte(doc)); ok {
			strict, err := strictFeed([]byte(doc))
			if diff := cmp.Diff(strict, quick); err != nil || diff != "" {
				t.Errorf("feed %q: %v\n%s", doc, err, diff)
			}
		}
	})
}
