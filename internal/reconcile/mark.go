// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// mark is what the owner's job says of the daemon that services the controller.
type mark struct {
	Owner string `json:"owner"`
	Host  string `json:"host"`
	Epoch string `json:"epoch"` // of its store
	Event int64  `json:"event"` // number of the store's newest event
	// Instance is drawn at each start of a daemon. Two daemons with one owner's name, or with copies
	// of one store, are told apart by it.
	Instance string `json:"instance"`
	// Labels are the spellings in which agents may bear our labels, the present one last.
	Labels []hygiene.Names `json:"labels,omitempty"`
}

// markWord begins the encoded mark in the job's description. Base64 needs no escaping in XML, so
// that the mark is found in whatever way Jenkins renders the document.
const markWord = "pitcrew-owner:"

const markJob = `<?xml version='1.0' encoding='UTF-8'?>
<project>
  <description>pitcrew services this controller. This job is never built: it only says who does, so that no second pitcrew begins. %s%s.</description>
  <keepDependencies>false</keepDependencies>
  <properties/>
  <scm class="hudson.scm.NullSCM"/>
  <canRoam>false</canRoam>
  <disabled>true</disabled>
  <triggers/>
  <concurrentBuild>false</concurrentBuild>
  <builders/>
  <publishers/>
  <buildWrappers/>
</project>
`

// render returns the job that bears the mark.
func (m mark) render() []byte {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and an integer always marshal
	}
	return fmt.Appendf(nil, markJob, markWord, base64.RawURLEncoding.EncodeToString(text))
}

// parseMark reads the mark out of a job's configuration.
func parseMark(config []byte) (mark, error) {
	_, rest, ok := bytes.Cut(config, []byte(markWord))
	if !ok {
		return mark{}, errNoMark
	}
	end := bytes.IndexFunc(rest, func(r rune) bool {
		return ('a' > r || r > 'z') && ('A' > r || r > 'Z') && ('0' > r || r > '9') && r != '-' && r != '_'
	})
	if end < 0 {
		return mark{}, errNoMark
	}
	var m mark
	text, err := base64.RawURLEncoding.DecodeString(string(rest[:end]))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil || m.Owner == "" {
		return mark{}, fmt.Errorf("its mark cannot be read: %w", errNoMark)
	}
	return m, nil
}
