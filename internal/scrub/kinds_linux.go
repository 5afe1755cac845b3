// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// withoutProc are the kinds that ask something else than /proc. All others learn from there what is to go, who uses it, or who we and the
// agents are.
var withoutProc = []spec.Kind{
	spec.KindDisk, spec.KindVMs, spec.KindPackages, spec.KindJournal, spec.KindCron, spec.KindPlace, spec.KindAccounts, spec.KindServices,
	spec.KindCommands, spec.KindReach, spec.KindTime, spec.KindEngine,
}

// sight returns why a kind could not see what it looks for. One /proc that shows other numbers, as that of the machine does in a container,
// would have us take ourselves for somebody else.
func sight(kind spec.Kind) error {
	if slices.Contains(withoutProc, kind) {
		return nil
	}
	self, err := os.Readlink(string(procfs.Machine) + "/self")
	switch {
	case err != nil:
		return fmt.Errorf("cannot look: /proc does not show this process: %w; is proc mounted there?", err)
	case self != strconv.Itoa(os.Getpid()):
		return fmt.Errorf("cannot look: in /proc this process has the number %s, and it is %d: it shows another space of process numbers", self, os.Getpid())
	}
	return nil
}

var ofPlatform = map[spec.Kind]maker{
	spec.KindProcesses:  newProcesses,
	spec.KindContainers: newContainers,
	spec.KindVMs:        newVMs,
	spec.KindNetwork:    newNetwork,
	spec.KindMounts:     newMounts,
	spec.KindLoops:      newLoops,
	spec.KindPackages:   newPackages,
	spec.KindJournal:    newJournal,
	spec.KindLogs:       newLogs,
	spec.KindUsers:      newHomes,
	spec.KindCron:       newCron,
	spec.KindIPC:        newIPC,
	spec.KindPlace:      newPlace,
	spec.KindAccounts:   newAccounts,
	spec.KindServices:   newServices,
	spec.KindSysctl:     newSysctl,
	spec.KindModules:    newModules,
	spec.KindCommands:   newCommands,
	spec.KindMount:      newMount,
	spec.KindKVM:        newKVM,
	spec.KindReach:      newReach,
	spec.KindTime:       newClock,
	spec.KindEngine:     newEngines,
}
