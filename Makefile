# Everything a developer or CI does. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
MODULES := proto pkg frontend matchfunction docs/examples/wasm/go evaluator director director/test failover gameserver minimatch miniagones miniagones/kubernetes loadgen local images test test/browser test/cluster test/manifests
BIN := $(CURDIR)/bin
PLAYERS ?= 40
SEED ?= 1
SEEDS ?= 100000
WORLDS ?= 10000
QUEUES ?=
RATE ?= 2000
DURATION ?= 30s
FLEET ?= 20000
FUZZTIME ?= 10s
BENCHFLAGS ?=
TESTFLAGS ?=
E2EFLAGS ?=
TAG ?= dev
ARCH ?= amd64,arm64
IMAGES ?=
PUSH ?=
GAMES ?= 1
MATCHES ?= 1000
PROOF ?=

BUF := v1.75.0
PROTOC_GEN_GO := v1.36.12
PROTOC_GEN_GO_GRPC := v1.6.2
GRPC_GATEWAY := v2.33.0
GOLANGCI_LINT := v2.15.0
CONTROLLER_GEN := v0.23.0

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build every service into bin/.
	@mkdir -p $(BIN)
	go build -o $(BIN)/torikumi ./local
	go build -o $(BIN)/ ./frontend ./frontend/cmd/beacon ./matchfunction ./evaluator ./director ./failover ./minimatch ./miniagones ./loadgen ./gameserver/cmd/gate ./gameserver/cmd/server

.PHONY: demo
demo: ## Play the whole path: PLAYERS (40), SEED (1), QUEUES (a file).
	@mkdir -p $(BIN)
	go build -o $(BIN)/torikumi ./local
	$(BIN)/torikumi demo --players=$(PLAYERS) --seed=$(SEED) $(if $(QUEUES),--queues="$(QUEUES)")

.PHONY: up
up: ## Run the suite on this machine until Ctrl-C: QUEUES (a file).
	@mkdir -p $(BIN)
	go build -o $(BIN)/torikumi ./local
	$(BIN)/torikumi up $(if $(QUEUES),--queues="$(QUEUES)")

.PHONY: load
load: ## Load the suite with RATE tickets/s (2000) for DURATION (30s).
	@mkdir -p $(BIN)
	go build -o $(BIN)/torikumi ./local
	$(BIN)/torikumi load --up="--fleet=virtual:$(FLEET)" --rate=$(RATE) --duration=$(DURATION)

.PHONY: simulate-plot
simulate-plot: ## Simulate a day and draw docs/images/simulated-day.svg.
	@mkdir -p $(BIN) docs/images
	go build -o $(BIN)/matchfunction ./matchfunction
	$(BIN)/matchfunction simulate --day --rules=docs/rulesets/arena.json --seed=$(SEED) --svg=docs/images/simulated-day.svg

.PHONY: frontier
frontier: ## Play DAYS (20) of each world with the search and simpler ones, and draw docs/images/frontier-*.svg.
	@mkdir -p $(BIN) docs/images
	go build -o $(BIN)/matchfunction ./matchfunction
	$(BIN)/matchfunction frontier --seeds=$(or $(DAYS),20) --samples=$(BIN)/frontier.jsonl --svg=docs/images

.PHONY: simulate-director
simulate-director: ## Play SEEDS (100000) schedules of directors that crash, pause and lose answers.
	go test -count=1 -timeout 60m ./director/internal/simulation -run TestSchedules -rapid.checks=$(SEEDS)

.PHONY: simulate-failover
simulate-failover: ## Play WORLDS (10000) random worlds of nodes that die, and count what happens and what is promised: SEED (1).
	go test -count=1 -timeout 120m -v ./failover/internal/decide -run '^TestWorlds$$' -rapid.checks=$(WORLDS) -rapid.seed=$(SEED)

.PHONY: simulate-failover-guards
simulate-failover-guards: ## Take the guard of each promise out, and see it broken in those worlds.
	go test -count=1 -timeout 120m -v ./failover/internal/decide -run '^TestGuards$$' -guards

.PHONY: images
images: ## Make bin/images/NAME.tar: TAG (dev), ARCH (amd64,arm64), IMAGES (all), PUSH (a registry).
	go run ./images --tag="$(TAG)" --arch="$(ARCH)" --images="$(IMAGES)" --push="$(PUSH)"

.PHONY: cluster
cluster: ## Make a Kubernetes cluster on this machine, as root: GAMES (1).
	@mkdir -p $(BIN)
	go build -o $(BIN)/torikumi-cluster ./test/cluster/cmd/torikumi-cluster
	$(BIN)/torikumi-cluster up --games=$(GAMES)

.PHONY: cluster-down
cluster-down: ## End it, and remove all that it has made.
	@mkdir -p $(BIN)
	go build -o $(BIN)/torikumi-cluster ./test/cluster/cmd/torikumi-cluster
	$(BIN)/torikumi-cluster down

.PHONY: skaffold
skaffold: ## Build skaffold and ko into bin/: 10 minutes the first time.
	@mkdir -p $(BIN)
	cd tools/skaffold && GOWORK=off go build -o $(BIN)/ github.com/GoogleContainerTools/skaffold/v2/cmd/skaffold github.com/google/ko

.PHONY: kubernetes
kubernetes: ## Build the Kubernetes that tests run: once per machine, 6 to 10 minutes.
	go run ./failover/internal/controlplane/build

.PHONY: manifests
manifests: kubernetes ## Render and check everything in manifests/, on a real API server too.
	go test -count=1 ./test/manifests

.PHONY: test
test: kubernetes ## Run all tests: TESTFLAGS (of go test).
	go test -timeout 40m $(TESTFLAGS) work

# The tests that ask whether they are to be short.
LONG = awk '/^func /{sub(/\(.*/, "", $$2); name = $$2} /testing\.Short\(\)/{print name, FILENAME}' $$(grep -rl --include='*_test.go' 'testing\.Short()' .)

.PHONY: test-long
test-long: kubernetes ## Of test: what "make race" leaves out, as it takes minutes there: TESTFLAGS.
	@! $(LONG) | grep -v ^Test || { echo "testing.Short: in a function that is no test, which test-long does not find"; exit 1; }
	@go test -timeout 40m -run "^($$($(LONG) | cut -d' ' -f1 | paste -sd'|'))$$" $(TESTFLAGS) $$($(LONG) | cut -d' ' -f2 | xargs -n 1 dirname | sort -u)

.PHONY: chaos
chaos: ## Play MATCHES (1000) while processes die, stop and lose answers; needs redis-server: SEED (any).
	SEED="$(if $(filter command line environment,$(origin SEED)),$(SEED))" MATCHES="$(MATCHES)" go test -tags chaos -count=1 -timeout 15m -v -run '^TestChaos$$' ./test

.PHONY: proof
proof: ## Measure what frontends hold out, and fail where a target is missed; needs redis-server, and a machine that does nothing else: PROOF (a pattern).
	go test -tags proof -count=1 -timeout 30m -v -run '^TestProof$(PROOF)' ./frontend/frontend

.PHONY: race
race: kubernetes ## Run the tests under the race detector, but for what takes minutes there (make test-long): TESTFLAGS.
	go test -race -short -timeout 40m $(TESTFLAGS) work

.PHONY: e2e
e2e: e2e-requirements e2e-browser e2e-wasm e2e-machines e2e-suite e2e-skaffold ## Run the tests that need root and Debian packages; it says what it lacks: E2EFLAGS (of go test).

.PHONY: e2e-requirements
e2e-requirements: ## Of e2e: say what this machine lacks for it, all at once.
	go run ./test/cluster/cmd/torikumi-requirements

.PHONY: e2e-browser
e2e-browser: ## Of e2e: the client in TypeScript, and its pages in Chromium; needs no root.
	@command -v npm >/dev/null || { echo "this machine lacks npm; on Debian: apt-get install --no-install-recommends nodejs npm"; exit 1; }
	cd clients/typescript && npm ci --no-audit --no-fund && npm test
	go test -tags e2e -count=1 -timeout 10m -v $(E2EFLAGS) ./test/browser

.PHONY: e2e-wasm
e2e-wasm: ## Of e2e: a rule as a module in C; needs clang and lld, and no root.
	go test -tags e2e -count=1 -timeout 5m -v -run TestExampleInC ./matchfunction/internal/wasm

.PHONY: e2e-machines
e2e-machines: ## Of e2e: the node image of failover, images in containerd, the cluster itself.
	go test -tags e2e -count=1 -timeout 40m $(E2EFLAGS) ./failover/image ./failover/internal/join ./images/internal/cli ./test/cluster/internal/netpol ./test/cluster/cluster

.PHONY: e2e-suite
e2e-suite: ## Of e2e: play on clusters, while pods and a node die, and as docs/deploy.md says.
	go test -tags e2e -count=1 -timeout 40m -v $(E2EFLAGS) ./test/cluster/e2e

.PHONY: e2e-skaffold
e2e-skaffold: skaffold ## Of e2e: skaffold run and skaffold dev on a cluster; builds skaffold first.
	go test -tags e2e,skaffold -count=1 -timeout 40m -v -run TestSkaffold ./test/cluster/e2e

.PHONY: bench
bench: kubernetes ## Run the benchmarks: BENCHFLAGS (of go test).
	go test -run '^$$' -bench . -benchmem -timeout 60m $(BENCHFLAGS) work

.PHONY: fuzz
fuzz: ## Fuzz each parser for FUZZTIME (10s).
	@set -e; for m in $(MODULES); do (cd $$m && for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; done; done); done

$(BIN)/golangci-lint:
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)

.PHONY: lint
lint: $(BIN)/golangci-lint ## Check style and common mistakes.
	$(BIN)/golangci-lint run $$(go list -m -f '{{.Dir}}/...')

.PHONY: tools
tools: ## Install the generators into bin/.
	@mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/bufbuild/buf/cmd/buf@$(BUF)
	GOBIN=$(BIN) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO)
	GOBIN=$(BIN) go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC)
	GOBIN=$(BIN) go install github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway@$(GRPC_GATEWAY)
	GOBIN=$(BIN) go install sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN)

.PHONY: generate
generate: tools ## Make the Go of proto/, the CRDs and the types of clients/typescript anew.
	cd proto && find . -name '*.pb.go' -o -name '*.pb.gw.go' | xargs rm -f
	cd proto && $(BIN)/buf generate
	cd proto && $(BIN)/buf generate --template buf.gen.gateway-sdk.yaml --path agones/sdk/sdk.proto
	cd proto && $(BIN)/buf generate --template buf.gen.gateway-sdk-alpha.yaml --path agones/sdk/alpha
	cd proto && $(BIN)/buf generate --template buf.gen.gateway-sdk-beta.yaml --path agones/sdk/beta
	cd proto && $(BIN)/buf generate --template buf.gen.gateway-openmatch.yaml --path openmatch
	cd failover && $(BIN)/controller-gen object crd paths=./api/... output:crd:dir=../manifests/base/failover/crd
	cd miniagones/kubernetes && $(BIN)/controller-gen object crd paths=./api/... output:crd:dir=../../manifests/components/miniagones/crd
	go test -count=1 ./frontend/internal/web -run TestTypeScript -update

.PHONY: check-generate
check-generate: generate ## Fail if what is generated and committed is stale.
	@test -z "$$(git status --porcelain -- proto failover/api miniagones/kubernetes/api manifests clients)" || { git status --short -- proto failover/api miniagones/kubernetes/api manifests clients; echo "stale: run make generate and commit"; exit 1; }

.PHONY: check-modules
check-modules: ## Fail if a module does not stand alone, is not tidy, or takes other versions than the others.
	@awk '{sub(/^require /, "\t")} /^\t[^ ]+ v/ && $$1 !~ /^torikumi\// {if (version[$$1] && version[$$1] != $$2) {print $$1, version[$$1], $$2; differ = 1} version[$$1] = $$2} END {exit differ}' \
		$(MODULES:%=%/go.mod) || { echo "modules take different versions: run go work sync, and go mod tidy in each module"; exit 1; }
	@set -e; for m in $(MODULES); do echo "$$m"; (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go build -o /dev/null ./...); done
	cd tools/kubernetes && GOWORK=off go mod tidy -diff
	cd tools/coredns && GOWORK=off go mod tidy -diff
	cd tools/skaffold && GOWORK=off go mod tidy -diff
	cd tools/containerd && GOWORK=off go mod tidy -diff

.PHONY: clean
clean: ## Remove what was built.
	rm -rf $(BIN)
