// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// AttemptRecord is an attempt as it is listed, with what its program said where that was read.
type AttemptRecord struct {
	ID int64 // orders the attempts of all agents by their claims
	hygiene.Attempt
	Report []byte // JSON; nil when there is none
	Log    []byte // the tail of the program's output; nil when there is none
}

// AttemptFilter chooses attempts; the zero value chooses the newest of all.
type AttemptFilter struct {
	Agent      hygiene.AgentID
	Controller hygiene.ControllerID
	Pool       string
	Outcome    hygiene.Outcome
	Open       bool  // only those in progress
	Before     int64 // only records with a lower ID; 0 = from the newest on
	Limit      int   // 0 = 100
}

// maxLog bounds the stored output of one attempt; the end is what tells why it failed.
const maxLog = 256 << 10

// Unproven counts the attempts in progress that are not proven yet, by pool, on the agents of all controllers.
func (s *Store) Unproven(ctx context.Context) (map[string]int, error) {
	var n map[string]int
	if err := s.consult(ctx, func(b *book) { n = b.unproven() }); err != nil {
		return nil, fmt.Errorf("count attempts that are not proven: %w", err)
	}
	return n, nil
}

// Attempt returns one attempt with its report and log, or [ErrNotFound].
func (s *Store) Attempt(ctx context.Context, id hygiene.AgentID, number int64) (AttemptRecord, error) {
	record, err := s.attempt(ctx, id, number)
	if err != nil {
		return AttemptRecord{}, fmt.Errorf("read attempt %d of agent %s: %w", number, id, explain(s.path, err))
	}
	return record, nil
}

func (s *Store) attempt(ctx context.Context, id hygiene.AgentID, number int64) (AttemptRecord, error) {
	row, err := s.reads.Attempt(ctx, string(id.Controller), id.Name, number)
	if err != nil {
		return AttemptRecord{}, err
	}
	record, err := recordOf(row)
	if err != nil {
		return record, err
	}
	said, err := s.reads.Report(ctx, string(id.Controller), id.Name, number)
	if isNoRow(err) {
		return record, nil
	}
	if err != nil {
		return record, err
	}
	if said.Report != "" {
		record.Report = []byte(said.Report)
	}
	record.Log, err = unpack(said.Log)
	return record, err
}

func recordOf(row rows.Attempt) (AttemptRecord, error) {
	t, err := attemptOf(row)
	return AttemptRecord{ID: row.ID, Attempt: t}, err
}

// NameUse stores which build took the cleanliness that an attempt gave, once that is known, of an attempt that is not its
// agent's newest: that one changes by [Store.Change]. It changes nothing where a build is stored already, and where
// nothing took it.
func (s *Store) NameUse(ctx context.Context, id hygiene.AgentID, number int64, url string) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		_, err := t.NameUse(ctx, rows.NameUseParams{Controller: string(id.Controller), Agent: id.Name, Number: number, UsedBy: url})
		return err
	})
	if err != nil {
		return fmt.Errorf("save which build used agent %s, attempt %d: %w", id, number, err)
	}
	s.book.forgetProofs()
	return nil
}

// UsedBy returns the attempts whose cleanliness a build took, newest first: one for each agent that it ran on.
func (s *Store) UsedBy(ctx context.Context, url string) ([]AttemptRecord, error) {
	found, err := s.reads.UsedBy(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("read what build %s used: %w", url, explain(s.path, err))
	}
	return each(found, recordOf)
}

// Said is what an attempt's program said, ready to be stored. Make it with [NewSaid].
type Said struct{ report, log string }

// NewSaid packs what a program said: its report, which must be JSON or empty, and the end of its output.
func NewSaid(report, log []byte) (*Said, error) {
	if len(report) > 0 && !json.Valid(report) {
		return nil, errors.New("the report is not JSON")
	}
	packed, err := pack(log)
	return &Said{report: string(report), log: packed}, err
}

// SaveReport stores what an attempt's program said, see [NewSaid]. Storing it again replaces it.
func (s *Store) SaveReport(ctx context.Context, id hygiene.AgentID, number int64, report, log []byte) error {
	said, err := NewSaid(report, log)
	if err == nil {
		err = s.write(ctx, func(ctx context.Context, t *txn) error { return t.keepSaid(ctx, id, number, said) })
	}
	if err != nil {
		return fmt.Errorf("save report of agent %s, attempt %d: %w", id, number, err)
	}
	return nil
}

func (t *txn) keepSaid(ctx context.Context, id hygiene.AgentID, number int64, said *Said) error {
	n, err := t.SaveReport(ctx, rows.SaveReportParams{
		Controller: string(id.Controller), Agent: id.Name, Number: number, Report: said.report, Log: said.log,
	})
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// EndedSince returns the attempts of a pool that succeeded or failed at since or later, in the
// order of their ends. Those that were lost or given back say nothing about a recipe.
func (s *Store) EndedSince(ctx context.Context, pool string, since time.Time) ([]hygiene.Ended, error) {
	found, err := s.reads.EndedSince(ctx, pool, millis(since))
	if err != nil {
		return nil, fmt.Errorf("read ended attempts of pool %s: %w", pool, explain(s.path, err))
	}
	return each(found, func(r rows.EndedSinceRow) (hygiene.Ended, error) {
		return hygiene.Ended{
			Agent: agentID(r.Controller, r.Agent), Revision: r.Revision, Need: hygiene.Need(r.Need), Step: r.Step,
			Failed: hygiene.Outcome(r.Outcome) == hygiene.Failed, Claimed: moment(r.Claimed), At: moment(r.Ended),
		}, nil
	})
}

// packers spare each log the making of a compressor, which takes longer than its work. The fastest level alone has no
// tables of half a megabyte to be cleared for each log.
var packers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for no level that there is
	return w
}}

func pack(log []byte) (string, error) { return deflate(log[max(0, len(log)-maxLog):]) }

// deflate packs bytes into text; "" is none.
func deflate(body []byte) (string, error) {
	if len(body) == 0 {
		return "", nil
	}
	var text strings.Builder
	encoder := base64.NewEncoder(base64.StdEncoding, &text)
	zip := packers.Get().(*gzip.Writer)
	defer packers.Put(zip)
	zip.Reset(encoder)
	if _, err := zip.Write(body); err != nil {
		return "", err
	}
	err := errors.Join(zip.Close(), encoder.Close())
	return text.String(), err
}

func unpack(text string) ([]byte, error) {
	log, err := inflate(text)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return log[:min(len(log), maxLog)], nil
}

// maxInflated bounds what stored text is unpacked to: more than any program has, as JSON.
const maxInflated = 64 << 20

// inflate is the inverse of deflate.
func inflate(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(zip, maxInflated))
}
