// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// BackupRequest says where a copy of the store goes.
type BackupRequest struct {
	Path string `json:"path" minLength:"1" doc:"Absolute path of a file that does not exist, on the daemon's machine" example:"/var/backups/pitcrew.db"`
}

// Backup is a copy that was written.
type Backup struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// ConfigText is the configuration in force.
type ConfigText struct {
	YAML string `json:"yaml" doc:"Without secrets: those stand in it as references only"`
}

type backupInput struct {
	strict
	Body BackupRequest
}

func (s *Server) daemonRoutes() {
	register(s, operation{
		id: "getVersion", method: http.MethodGet, path: "/version", role: store.Viewer, tag: "daemon",
		summary: "Say what runs",
	}, func(context.Context, *none) (*answer[Version], error) { return answered(s.Version, nil) })
	register(s, operation{
		id: "backup", method: http.MethodPost, path: "/backup", role: store.Admin, tag: "daemon",
		summary: "Copy the store while work goes on",
		detail:  "Every agent is cleaned again after the copy was put in the place of the store. Nothing is overwritten.",
	}, s.backup)
	register(s, operation{
		id: "reload", method: http.MethodPost, path: "/reload", role: store.Admin, tag: "daemon",
		summary: "Read the configuration again", detail: "The old one stays in force when the new one is bad.", status: http.StatusNoContent,
	}, s.reload)
	register(s, operation{
		id: "getConfig", method: http.MethodGet, path: "/config", role: store.Admin, tag: "daemon",
		summary: "Show the configuration in force",
	}, s.getConfig)
	register(s, operation{
		id: "doctor", method: http.MethodGet, path: "/doctor", role: store.Admin, tag: "daemon",
		summary: "Say everything that a support engineer would ask for",
		detail:  "Asks each controller about ten questions, and with jobs for all of its jobs.",
	}, s.doctor)
}

func (s *Server) backup(ctx context.Context, in *backupInput) (*answer[Backup], error) {
	path := in.Body.Path
	if !filepath.IsAbs(path) {
		return nil, invalid("body.path", "want an absolute path: the daemon's directory is not yours", path)
	}
	err := s.Store.Backup(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, invalid("body.path", "its directory does not exist on the daemon's machine", path)
	case errors.Is(err, store.ErrExists):
		return nil, refusal(http.StatusConflict, "there is a file at this path already: it is not overwritten")
	case err != nil:
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := s.Store.Append(ctx, time.Now(), hygiene.Event{
		Type: hygiene.EventBackup, Actor: caller(ctx).Name, Subject: "store", Reason: fmt.Sprintf("copied to %s, %d bytes", path, info.Size()),
	}); err != nil {
		return nil, err
	}
	s.Logger.InfoContext(ctx, "store backed up", "path", path, "actor", caller(ctx).Name)
	return answered(Backup{Path: path, Bytes: info.Size()}, nil)
}

// reload passes the error on: it says what is wrong with the configuration, to an admin.
func (s *Server) reload(ctx context.Context, _ *none) (*struct{}, error) {
	if s.Reload == nil {
		return nil, refusal(http.StatusConflict, "this daemon has no configuration file to read again")
	}
	if err := s.Reload(ctx, caller(ctx).Name); err != nil {
		return nil, refusal(http.StatusUnprocessableEntity, "the old configuration stays in force: "+err.Error())
	}
	s.Logger.InfoContext(ctx, "configuration read again", "actor", caller(ctx).Name)
	return nil, nil
}

func (s *Server) getConfig(context.Context, *none) (*answer[ConfigText], error) {
	if s.Config == nil {
		return nil, refusal(http.StatusConflict, "this daemon has no configuration file")
	}
	text, err := s.Config()
	return answered(ConfigText{YAML: text}, err)
}
