# SPDX-License-Identifier: Apache-2.0
# Nothing needs make: every target is one command that you can type yourself.

.DEFAULT_GOAL := help
LONG := PITCREW_LONG=1 go test -count=1 -timeout 60m -v

.PHONY: help build test race lint fmt bench sim crash ci
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' Makefile

build: ## build ./bin/pitcrew for this machine, with scrub for all platforms inside
	./scripts/build-scrub.sh
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

test: ## install what the tests need and run all of them (arguments: ARGS='-run X')
	./scripts/test.sh $(ARGS)

# Without the packages whose tests mostly run other programs, which the detector does not see into but slows down fivefold.
RACE := $$(go list ./... | grep -vE '/(app|recipes?|loanjob|container|mess|demo|simulation|conformance|thirdparty|endtoend)$$')

race: ## the same tests, short ones only, with the race detector
	PACKAGES="$(RACE)" ./scripts/test.sh -race -short $(ARGS)

lint: ## formatting, vet, golangci-lint, shellcheck, go.mod tidiness
	./scripts/lint.sh

fmt: ## format the Go code in place
	"$$(./scripts/tool.sh golangci-lint)" fmt

bench: ## print the tables of docs/benchmarks.md (PITCREW_SCALE=1 make bench removes trees of full size, for hours)
	PITCREW_LONG=1 go test -run '^$$' -bench . -benchtime 1x -timeout $(if $(PITCREW_SCALE),24h,60m) ./...

sim: ## 30 simulated days of 1,000 agents
	$(LONG) -run '^TestSimulation' ./...

crash: ## kill the daemon at every request and event of every kind of cleanup, and everybody at every step of loans and rehearsals; set clocks there; cut every wire of a rehearsal
	$(LONG) -parallel 6 -run '^TestCrash' ./internal/app # they wait more than they work
	$(LONG) -parallel 5 -run '^TestAKillAtEvery|^TestAClockThatIsSet|^TestACutBetweenAnyTwo.*Rehearsal|^TestARehearsalInAContainer' ./internal/endtoend

ci: ## everything that a change must pass
	CI=true ./.ci/run
