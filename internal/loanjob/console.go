// SPDX-License-Identifier: Apache-2.0

package loanjob

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Reason says why a loan has ended.
type Reason string

// The reasons.
const (
	Stopped      Reason = "stopped"       // the build was stopped, or the holder was told to end it
	AgentEnded   Reason = "agent-ended"   // the borrower let go: it disconnected or deleted the agent, or died
	NotConnected Reason = "not-connected" // the agent program ended before it was connected, or took too long
	LenderGone   Reason = "lender-gone"   // the lender's agent has ended, or begun anew
	LimitReached Reason = "limit"         // the hard limit
	Asked        Reason = "asked"         // somebody came over SSH to end it
)

// Console is what a holder told. Nil and "" are what it did not tell, or what was lost.
type Console struct {
	Refusal string   // why it did nothing at all
	Failure *Failure // it began, could not set the loan up, and undid what it had done
	Started *Started
	// Connected: the agent program said so. Whether the agent is online is the borrower's to say.
	Connected bool
	Ended     *Ended
	Alive     *bool  // the answer to status: the loan lives on that machine
	Granted   string // until when a person's key is taken, in the machine's time, as 20060102150405
	// Trouble is what the agent program printed last that sounds like some, made fit to be shown. It is no word of the holder's.
	Trouble string
	// Damaged is how many lines begin like the holder's and are not whole: text was lost.
	Damaged int
}

// Failure is why a loan could not be set up.
type Failure struct {
	Reason  string
	DirKept bool // the work directory could not be removed
}

// Started are facts of a loan that has begun.
type Started struct {
	User     string // whose its processes are
	Isolated bool   // that is another account than the agent's
	// FilesOpen: that account can read the home or the workspace of the lender's agent.
	FilesOpen bool
	Dir, Java string
}

// Ended is the end of a loan, after the holder has looked again.
type Ended struct {
	Reason  Reason
	Code    int // exit status of the agent program; -1 if it is not known
	Left    int // processes of the loan that could not be ended
	DirKept bool
}

// ErrForged says that a console tells of an end with another nonce: somebody wrote into it, or it is that of another loan.
var ErrForged = errors.New("the end of the loan is told with another nonce")

const sentinel = "pitcrew-loan "

var sentinels = struct{ failed, started, ended, status, granted *regexp.Regexp }{
	failed:  regexp.MustCompile(`^failed dir=(gone|kept) (.+)$`),
	started: regexp.MustCompile(`^started user=([0-9A-Za-z._-]+) isolated=(yes|no) files=(open|closed) dir=(/[^ ]*) java=(/.*)$`),
	ended:   regexp.MustCompile(`^ended reason=(stopped|agent-ended|not-connected|lender-gone|limit|asked) code=(none|[0-9]{1,3}) left=([0-9]{1,9}) dir=(gone|kept) nonce=([0-9A-Za-z_-]+)$`),
	status:  regexp.MustCompile(`^status known=(?:yes|no) alive=(yes|no)$`),
	granted: regexp.MustCompile(`^granted user=[0-9A-Za-z._-]+ until=([0-9]{14})$`),
}

// ReadConsole reads what the holder of the loan with this nonce told: the console of a build, or what came over SSH. Lines
// that are not the holder's are passed over, for what others printed has a prefix; so are those that lost a part. If the
// same is told twice, the last counts.
func ReadConsole(log []byte, nonce string) (Console, error) {
	sum := sha256.Sum256([]byte(nonce))
	proof := hex.EncodeToString(sum[:])
	var c Console
	for line := range strings.Lines(string(log)) {
		line, whole := strings.CutSuffix(line, "\n")
		rest, ours := strings.CutPrefix(strings.TrimSuffix(line, "\r"), sentinel)
		if !ours {
			c.hear(line)
			continue
		}
		if reason, unproved := strings.CutPrefix(rest, "- refused "); unproved && whole { // before it could compute the proof
			c.Refusal = reason
			continue
		}
		text, ours := strings.CutPrefix(rest, proof+" ")
		if !ours {
			continue
		}
		if !whole {
			c.Damaged++
			continue
		}
		if err := c.take(text, nonce); err != nil {
			return Console{}, fmt.Errorf("read console of loan: %w", err)
		}
	}
	return c, nil
}

var (
	troubled    = regexp.MustCompile(`(?i)error|exception|fail|refus|reject|denied|forbidden|incorrect|invalid|unable|cannot|could not|not found`)
	hexadecimal = regexp.MustCompile(`[0-9A-Fa-f]{64}`) // as the secret of an agent is
)

// maxTrouble bounds what is quoted of a program.
const maxTrouble = 200

// hear keeps what the agent program printed if that sounds like trouble, and is no more than a place in a program.
func (c *Console) hear(line string) {
	text, theirs := strings.CutPrefix(line, "| ")
	if !theirs || !troubled.MatchString(text) {
		return
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }), " ")
	if strings.HasPrefix(text, "at ") {
		return
	}
	shown := []rune(hexadecimal.ReplaceAllLiteralString(text, "(hidden)"))
	c.Trouble = string(shown[:min(len(shown), maxTrouble)])
}

// take reads one line of the holder's.
func (c *Console) take(text, nonce string) error {
	if reason, ok := strings.CutPrefix(text, "refused "); ok {
		c.Refusal = reason
		return nil
	}
	if text == "connected" {
		c.Connected = true
		return nil
	}
	if f := sentinels.failed.FindStringSubmatch(text); f != nil {
		c.Failure = &Failure{Reason: f[2], DirKept: f[1] == "kept"}
		return nil
	}
	if f := sentinels.started.FindStringSubmatch(text); f != nil {
		c.Started = &Started{User: f[1], Isolated: f[2] == "yes", FilesOpen: f[3] == "open", Dir: f[4], Java: f[5]}
		return nil
	}
	if f := sentinels.status.FindStringSubmatch(text); f != nil {
		alive := f[1] == "yes"
		c.Alive = &alive
		return nil
	}
	if f := sentinels.granted.FindStringSubmatch(text); f != nil {
		c.Granted = f[1]
		return nil
	}
	f := sentinels.ended.FindStringSubmatch(text)
	if f == nil {
		c.Damaged++
		return nil
	}
	if f[5] != nonce {
		return ErrForged
	}
	code, err := strconv.Atoi(f[2])
	if err != nil {
		code = -1
	}
	left, err := strconv.Atoi(f[3])
	if err != nil {
		return err
	}
	c.Ended = &Ended{Reason: Reason(f[1]), Code: code, Left: left, DirKept: f[4] == "kept"}
	return nil
}
