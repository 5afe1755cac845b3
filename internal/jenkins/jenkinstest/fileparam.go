// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// doubleDot is FileParameterValue.PROHIBITED_DOUBLE_DOT.
var doubleDot = regexp.MustCompile(`(?s).*[\\/]\.\.[\\/].*`)

// takeFiles says in the console what is copied to the workspace before the first step, and keeps a copy with the build
// (hudson.model.FileParameterValue#createBuildWrapper). It returns false if the build must fail.
func (j *Jenkins) takeFiles(b *build) ([]StepFile, bool) {
	var files []StepFile
	for _, p := range b.params {
		switch {
		case p.kind != paramFile:
			continue
		case p.lost:
			b.console.printf("FATAL: Cannot invoke \"org.apache.commons.fileupload.FileItem.getName()\" because \"file\" is null\njava.lang.NullPointerException\n")
			return nil, false
		case strings.TrimSpace(p.value) == "":
			continue // a form whose file was not chosen
		}
		b.console.printf("Copying file to %s\n", p.name)
		if clean := path.Clean(strings.ReplaceAll(p.name, `\`, "/")); doubleDot.MatchString(p.name) || clean == ".." || strings.HasPrefix(clean, "../") || path.IsAbs(clean) {
			b.console.printf("ERROR: Rejecting file path escaping base directory with relative path: %s\n", p.name)
			return nil, false
		}
		files = append(files, StepFile{Name: p.name, Data: p.file})
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	b.kept = files
	return files, true
}

// loseFiles forgets the files of an item that waited over a restart, as versions before JENKINS-73161 do.
func loseFiles(params []param) {
	for i := range params {
		if params[i].kind == paramFile {
			params[i].file, params[i].lost = nil, true
		}
	}
}

// keptFile serves the copy of a file parameter: parameters/parameter/<name>/<name> below the build.
func (c *call) keptFile(b *build) {
	c.j.mu.Lock()
	files := b.kept
	c.j.mu.Unlock()
	for _, f := range files {
		if c.path[2] == f.Name && strings.Join(c.path[3:], "/") == f.Name {
			c.identify()
			c.w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(f.Name)))
			c.w.WriteHeader(http.StatusOK)
			_, _ = c.w.Write(f.Data) // the client went away
			return
		}
	}
	c.notFound()
}

// KeptFiles is how many bytes of file parameters lie in the build directories of a job: those of the builds that were
// not discarded yet.
func (j *Jenkins) KeptFiles(jobName string) (bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	jb := j.root.find(jobName)
	if jb == nil {
		return 0
	}
	for _, b := range jb.builds {
		for _, f := range b.kept {
			bytes += int64(len(f.Data))
		}
	}
	return bytes
}
