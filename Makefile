# make help lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
DATA ?= var
BIN := bin
PROCESSES := vitals-rpc dicom-rpc epro-rpc subject-rpc project-api
BINARIES := $(addprefix $(BIN)/,$(PROCESSES) suite clinctl)
SOURCES = $(shell find . \( -path ./bin -o -path ./var -o -path ./tools -o -path ./.git -o -path ./test \) -prune -o \
  -type f \( -name '*.go' -o -name '*.sql' -o -name '*.tsv' -o -name '*.txt' -o -name '*.yaml' -o -name '*.cedar' -o -name 'go.???' \) ! -name '*_test.go' -print)
GOTEST = $(if $(RACE),CGO_ENABLED=1) go test $(if $(RACE),-race) -timeout 20m
export CGO_ENABLED ?= 0
# no_k8s leaves out go-zero's Kubernetes resolver, half of each binary and of its idle memory.
export GOFLAGS := -tags=no_k8s -trimpath

.PHONY: help run build sbom demo test test-faults lint generate bench certs clean images compose-up compose-down

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

run: export CLINSOURCE_STORE = $(STORE)
run: build ## build all and run the whole suite on the loopback (DATA=dir, default var; STORE=postgres://owner@host:port/db)
	@exec $(BIN)/suite --data $(DATA)

build: $(BIN)/etcd $(BINARIES) sbom ## build all that run starts into bin/, and what is in it into bin/sbom

# All at once, and only when a source has changed: then run compiles nothing.
$(BINARIES) &: $(SOURCES)
	@mkdir -p $(BIN)
	go build -o $(BIN)/ $(addprefix ./,$(PROCESSES)) ./cmd/suite ./cmd/clinctl
	@touch $(BINARIES)

$(BIN)/etcd: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && go build -o ../$(BIN)/etcd go.etcd.io/etcd/server/v3

sbom: $(BIN)/sbom/suite.cdx.json ## write what is in each binary (CycloneDX) into bin/sbom

$(BIN)/sbom/suite.cdx.json: $(BINARIES) $(BIN)/etcd
	go run ./deploy/sbom -out $(BIN)/sbom $^
	@touch $@

$(BIN)/etcdctl: tools/go.mod tools/go.sum # Images have it for their health check.
	@mkdir -p $(BIN)
	cd tools && go build -o ../$(BIN)/etcdctl go.etcd.io/etcd/etcdctl/v3

images: build $(BIN)/etcdctl ## build every container image without a registry (REBUILD=1: with today's Debian packages)
	deploy/images/local.sh

certs: build ## make the development certificates that are missing
	$(BIN)/clinctl certs

compose-up: certs ## start the stack in containers and wait for https://127.0.0.1:8443 (SMALL=1: without replicas; CLINSOURCE_IMAGES= : pulled images)
	deploy/compose.sh up

compose-down: ## end the stack; its data stays (VOLUMES=1: that too)
	deploy/compose.sh down

demo: ## fill the project demo of the running suite (may be run again)
	$(BIN)/clinctl demo

test: build ## run all tests (RACE=1: with the race detector)
	$(GOTEST) $$(go list ./... | grep -v -e /test/scenario -e /test/faults)
	go test -timeout 20m -count=1 ./test/scenario # Alone: it holds the suite to its budgets, the processes do the work.

test-faults: build ## break the running suite in every way of docs/faults.md (FAULTS=short: 5 minutes)
	go test -timeout 25m -count=1 -v ./test/faults
	CLINSOURCE_AUDIT_RECORDS=100000 go test -timeout 25m -count=1 -v -run TestTampering ./internal/audit
	CLINSOURCE_AUDIT_KILLS=50 go test -timeout 25m -count=1 -v -run TestKilledWithItsAudit ./internal/records

lint: $(BIN)/tools/golangci-lint ## run the linters of .golangci.yml (built once, some minutes)
	$(BIN)/tools/golangci-lint run ./...

$(BIN)/tools/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	@mkdir -p $(BIN)/tools
	cd tools/lint && go build -o ../../$(BIN)/tools/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bench: build ## measure the ratios of docs/benchmarks.md in one run
	go run ./test/bench

generate: ## make the generated code anew; leaves no difference
	@mkdir -p $(BIN)/tools
	cd tools && go build -o ../$(BIN)/tools/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	PATH=$(CURDIR)/$(BIN)/tools:$$PATH protoc -I . --go_out=. --go_opt=module=clinsource \
	  --go-grpc_out=. --go-grpc_opt=module=clinsource proto/*/*.proto
	go generate ./...
	deploy/etc.sh

clean: ## remove what was built (not the data, not the certificates)
	rm -rf $(BIN)
