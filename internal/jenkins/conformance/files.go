// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

func fileGroups() []group {
	return []group{{name: "file parameters", agent: &agentSpec{}, behaviours: []behaviour{
		{"a file lands in the workspace, and a copy stays with the build", fileLands},
		{"a file takes the place of what was there", fileReplaces},
		{"a build whose file does not come goes without it", fileMissing},
		{"a form names the part that is the file", fileByReference},
		{"a form that names what is not there queues nothing", fileBadReference},
		{"requests with equal files are items of their own", filesSeparate},
		{"a field beside a file is read in the character set it names", fileBesideText},
		{"the copy of a file goes with its build", fileDiscarded},
	}}}
}

// payload is the name of the file parameter, and thereby of the file.
const payload = "PAYLOAD"

// form is a multipart form under way.
type form struct {
	*probe
	body bytes.Buffer
	*multipart.Writer
}

func (p *probe) form() *form {
	f := &form{probe: p}
	f.Writer = multipart.NewWriter(&f.body)
	return f
}

// part adds a part: a file unless file is "", a field of plain text otherwise.
func (f *form) part(name, file, content string) *form {
	f.Helper()
	header := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf("form-data; name=%q", name)}}
	if file != "" {
		header.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q; filename=%q", name, file))
		header.Set("Content-Type", "application/octet-stream")
	} else {
		header.Set("Content-Type", "text/plain; charset=UTF-8")
	}
	w, err := f.CreatePart(header)
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err != nil {
		f.Fatalf("write form: %v", err)
	}
	return f
}

// post sends the form to page of a job.
func (f *form) post(job, page string) answer {
	f.Helper()
	if err := f.Close(); err != nil {
		f.Fatalf("write form: %v", err)
	}
	return f.send("POST", job+"/"+page, f.FormDataContentType(), f.body.String())
}

// built waits for the build that an answer promised.
func (p *probe) built(job string, a answer) (number int, console string) {
	p.Helper()
	p.mustBe("POST", a, 201)
	number = p.number(p.itemID(a))
	p.equal("result", p.finish(job, number).result(), "SUCCESS")
	return number, p.console(job, number)
}

// copyOf is the address of what Jenkins keeps of the file of a build.
func copyOf(job string, number int) string {
	return fmt.Sprintf("%s/%d/parameters/parameter/%s/%s", job, number, payload, payload)
}

func fileLands(p *probe) {
	name, job := p.job(jobSpec{
		label: p.agent.name, strings: []string{"WORD"}, files: []string{payload},
		shell: "#!/bin/sh\ncksum < PAYLOAD\necho \"word=$WORD\"\nenv | grep '^PAYLOAD' | sed 's/^/env:/'\n",
	})
	content := strings.Repeat("0123456789\x00\xff", 100_000)
	number, console := p.built(job, p.form().part("WORD", "", "it").part(payload, "local.bin", content).post(job, "buildWithParameters?delay=0sec"))
	p.contains("console", console, "Copying file to "+payload+"\n")
	p.contains("console", console, " 1200000\n")
	p.contains("console", console, "word=it\n")
	p.equal("variable of the file", lines(console, "env:"), []string{payload + "=local.bin"})
	info, err := os.Stat(filepath.Join(p.agent.dir, "workspace", name, payload))
	p.holds(err == nil && info.Size() == 1_200_000, "file in the workspace", "1200000 bytes", err)
	kept := p.get(copyOf(job, number))
	p.status("copy", kept, 200)
	p.equal("copy is the file", kept.body == content, true)
}

func fileReplaces(p *probe) {
	_, job := p.job(jobSpec{
		label: p.agent.name, files: []string{payload},
		shell: "#!/bin/sh\n[ ! -L PAYLOAD ] && sed 's/^/file:/' PAYLOAD\nrm -f PAYLOAD\necho other > other\nln -s other PAYLOAD\nsed 's/^/other:/' other\n",
	})
	for _, content := range []string{"one", "two"} {
		_, console := p.built(job, p.form().part(payload, "x", content+"\n").post(job, "buildWithParameters?delay=0sec"))
		p.equal("file in the workspace", lines(console, "file:"), []string{content})
		p.equal("file that a link led to", lines(console, "other:"), []string{"other"})
	}
}

func fileMissing(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, files: []string{payload}, strings: []string{"WORD"}, shell: "#!/bin/sh\nls | sed 's/^/entry:/'\n"})
	for what, a := range map[string]answer{
		"form without parts":   p.post(job+"/buildWithParameters?delay=0sec", url.Values{"WORD": {"1"}}),
		"part of another name": p.form().part("OTHER", "x", "x").part("WORD", "", "2").post(job, "buildWithParameters?delay=0sec"),
		"field of that name":   p.form().part(payload, "", "x").part("WORD", "", "3").post(job, "buildWithParameters?delay=0sec"),
	} {
		_, console := p.built(job, a)
		p.equal(what, lines(console, "entry:"), []string(nil))
		p.holds(!strings.Contains(console, "Copying file"), what, "nothing copied", console)
	}
}

func fileByReference(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, files: []string{payload}, strings: []string{"WORD"}, shell: "#!/bin/sh\ncat PAYLOAD\necho \"word=$WORD\"\n"})
	submission := `{"parameter":[{"name":"WORD","value":"it"},{"name":"PAYLOAD","file":"file0"}]}`
	_, console := p.built(job, p.form().part("json", "", submission).part("file0", "local.bin", "content\n").post(job, "build?delay=0sec"))
	p.contains("console", console, "\ncontent\nword=it\n")
}

func fileBadReference(p *probe) {
	_, job := p.job(jobSpec{label: p.unique("l"), files: []string{payload}})
	for what, parameter := range map[string]string{
		"no such part":      `{"name":"PAYLOAD","file":"file1"}`,
		"no such parameter": `{"name":"other","file":"file0"}`,
	} {
		a := p.form().part("json", "", `{"parameter":[`+parameter+`]}`).part("file0", "x", "x").post(job, "build?delay=0sec")
		p.holds(a.status >= 400, what, "an error", a.status)
	}
	queued := readJSON[struct{ InQueue bool }](p, job+"/api/json?tree=inQueue")
	p.equal("inQueue", queued.InQueue, false)
}

func filesSeparate(p *probe) {
	_, job := p.job(jobSpec{label: p.unique("l"), files: []string{payload}, strings: []string{"WORD"}})
	ids := map[int]bool{}
	for range 2 {
		a := p.form().part(payload, "x.bin", "same").part("WORD", "", "same").post(job, "buildWithParameters?delay=0sec")
		p.mustBe("POST", a, 201)
		ids[p.itemID(a)] = true
	}
	p.equal("items", len(ids), 2)
	for id := range ids {
		p.contains("params", p.item(id).Params, "\nPAYLOAD=x.bin")
		p.status("cancel", p.cancel(id), 204)
	}
}

func fileBesideText(p *probe) {
	_, job := p.job(jobSpec{label: p.unique("l"), files: []string{payload}, strings: []string{"WORD"}})
	a := p.form().part("WORD", "", "größe ✓").part(payload, "x", "x").post(job, "buildWithParameters?delay=0sec")
	p.mustBe("POST", a, 201)
	id := p.itemID(a)
	p.contains("params", p.item(id).Params, "\nWORD=größe ✓")
	p.status("cancel", p.cancel(id), 204)
}

func fileDiscarded(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, files: []string{payload}, keep: 1, shell: "true"})
	var numbers []int
	for _, content := range []string{"one", "two"} {
		number, _ := p.built(job, p.form().part(payload, "x", content).post(job, "buildWithParameters?delay=0sec"))
		numbers = append(numbers, number)
	}
	p.until("copy of the older build gone", func() bool { return p.get(copyOf(job, numbers[0])).status == 404 })
	p.equal("copy of the newer build", p.get(copyOf(job, numbers[1])).body, "two")
}
