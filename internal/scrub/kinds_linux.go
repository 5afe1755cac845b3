// SPDX-License-Identifier: Apache-2.0

package scrub

import "github.com/pitcrew-ci/pitcrew/internal/scrub/spec"

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
