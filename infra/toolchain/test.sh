#!/usr/bin/env bash
# test.sh: every test, as the build machine runs them. Called by `make test`. It installs what the tests need; the test
# runner's own lines come last.
set -euo pipefail
cd "$(dirname "$0")/../.."

infra/toolchain/install.sh go compiler ffmpeg redis colmap onnxruntime splat_transform chromium axe
make --no-print-directory check
# Other processors get other kernels, which round otherwise: they must at least build everywhere, and what is computed here
# must pass with each of them, so that green on one processor means green on all.
GOARCH=arm64 go vet ./engines/...
GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/splatworks
numeric=(./engines/simd/... ./engines/raster/... ./engines/trainer/... ./engines/splat/... ./engines/clean/...)
go test -tags noasm -short "${numeric[@]}"
GODEBUG=cpu.avx512f=off go test -short "${numeric[@]}"
GODEBUG=cpu.avx2=off,cpu.avx512f=off go test -short ./engines/simd/... ./engines/raster/...
(cd engines/simd/internal/gen && go test ./...) # the committed assembly is what its generator writes
go test -race -short ./queue/... ./internal/... ./functions/... ./client/... ./infra/local/...
go test -v -timeout 45m ./... 2>&1 | awk -f infra/toolchain/lines.awk
