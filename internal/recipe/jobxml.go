// SPDX-License-Identifier: Apache-2.0

package recipe

// RenderXML returns the job as config.xml, to be posted to createItem or to the job's own config.xml.
func RenderXML(s JobSpec) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	job := FreeStyle{
		Description: s.description(), Parameters: s.parameters(), KeepBuilds: s.keepBuilds(),
		Shell: s.shell(), nodeParameter: s.NodeParameter,
	}
	if s.NodeParameter == "" {
		job.Agent = s.Agent
	}
	return job.XML(), nil
}
