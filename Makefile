# Everything a person or a machine does with this repository. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TOOLS   := infra/toolchain/install.sh
# Go may have been put beside the host's programs by the tools script.
export PATH := $(or $(SPLATWORKS_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/splatworks)/go/bin:/usr/local/go/bin:$(PATH)
# The product, what measures its queue, what generates its assembly, and what checks its Terraform: a go.mod each.
MODULES := . queue/redisq/bench engines/simd/internal/gen infra/tfcheck
OUT     ?= out
PRESET  ?= standard
VIDEO   ?=
DEVICE  ?= opencl

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/splatworks, the whole backend as one program
	@$(TOOLS) go
	go build -tags nodynamic,gpu -trimpath -o bin/splatworks ./cmd/splatworks

web: ## The page in web/, built again into web/dist: needs Node, which building Go does not
	@infra/toolchain/web.sh

web-check: ## Build the page beside web/dist and compare
	@infra/toolchain/web.sh check

first-picture: ## How long a guest behind 10 Mbit/s waits for the first picture of SPLAT=out/splat.sog; wants an idle machine
	go test ./functions/trigger -count=1 -run TestFirstPictureOfAShare -v -first-splat "$(abspath $(SPLAT))"

demo: ## Install what is missing, reconstruct a sample (or VIDEO=path), show the result
	@infra/local/demo.sh "$(VIDEO)" "$(OUT)" "$(PRESET)"

test: ## Every test, as the build machine runs them
	@infra/toolchain/test.sh

thorough: ## The same with every seed and every case: an hour more
	@SPLATWORKS_THOROUGH=1 infra/toolchain/test.sh

check: ## Format, vet, tidy modules and import direction; under a minute
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	@for m in $(MODULES); do (cd $$m && go vet ./... && go mod tidy -diff) || { echo "in $$m: see above"; exit 1; }; done
	go test ./internal/arch

bench: ## Benchmarks, as ratios to a baseline measured in the same run
	go test -run '^$$' -bench . -benchtime 1s -timeout 60m ./engines/... ./queue/... ./functions/...
	cd queue/redisq/bench && go test -run '^$$' -bench . -benchtime 1x -timeout 60m .

large: ## A 3 GB video and a 2 GB archive through the filter within 1 GiB of memory: 12 GB of disk, some minutes
	@$(TOOLS) go ffmpeg
	go test ./services/filter -run Large -large -v -count 1 -timeout 60m

captures: ## Reconstruct the real captures in SPLATWORKS_CAPTURES and print their table: PRESETS=preview,standard SEEDS=1,2,3 BASE=commit
	@$(TOOLS) go ffmpeg colmap
	@infra/toolchain/captures.sh

card: ## A scene of 'run --scene' on PoCL, or a card, against the processor: SCENE=DIR [DEVICE=cuda]; ten minutes
	@test -d "$(SCENE)/sparse" || { echo "make card: SCENE=DIR is needed, an undistorted scene (images/ and sparse/) as 'splatworks run --scene' leaves it"; exit 2; }
	go test -tags gpu ./engines/trainer -run 'OnACard|TestSeedsEndAlike' -v -count 1 -timeout 2h -scene $(abspath $(SCENE)) -device $(DEVICE) -its 300 -side 160 -gaussians 3000 -seeds 12
	@test "$(DEVICE)" = cuda || echo "No graphics card was used ($(DEVICE)): what the kernels compute was compared, not how fast a card is, nor NVIDIA's driver. With a card: make card DEVICE=cuda, and engines/gpu/measure.sh."

fuzz: ## Every fuzz target for FUZZTIME (30s) each
	@infra/toolchain/fuzz.sh

viewers: ## Open every format in three.js, Spark, PlayCanvas and Babylon.js in a headless Chromium: two minutes
	@$(TOOLS) go chromium node viewers
	go test ./internal/e2e -run TestViewers -viewers -v -count 1 -timeout 20m

chaos: ## Break a running backend in every way that internal/e2e knows: twenty minutes
	go test ./internal/e2e -run TestChaos -chaos -v -timeout 60m

load: ## 2,000 requests under every fault of internal/e2e/load, as a table: hours on two cores. REQUESTS=2000 AT_ONCE=50
	@$(TOOLS) go redis
	go test ./internal/e2e/load -run TestLoad -load -requests $(or $(REQUESTS),2000) -at-once $(or $(AT_ONCE),50) -v -count 1 -timeout 12h

measure: ## CPU a request without engines, growth of the queue, 1,000 event streams, and a soak of SOAK (20m)
	@$(TOOLS) go redis
	go test ./internal/e2e/load -run 'TestOverhead|TestGrowth|TestStreams|TestSoak' -load -soak $(or $(SOAK),20m) -v -count 1 -timeout 3h

deploy: ## The backend in a Google Cloud project: PROJECT=my-project REGION=europe-west4 [ENVIRONMENT=dev]
	@terraform/deploy.sh "$(PROJECT)" "$(REGION)" "$(or $(ENVIRONMENT),dev)"

pin: ## Write the base images' digests and the providers' lock file, to be committed: needs docker buildx and terraform
	@terraform/pin.sh

teardown: ## Take it away again: PROJECT=my-project REGION=europe-west4 [ENVIRONMENT=dev]
	@DESTROY=true terraform/deploy.sh "$(PROJECT)" "$(REGION)" "$(or $(ENVIRONMENT),dev)"

clean: ## Remove what was built and reconstructed here
	rm -rf bin out

.PHONY: help build demo test thorough check bench large captures card fuzz viewers chaos load measure deploy pin teardown clean web web-check first-picture
