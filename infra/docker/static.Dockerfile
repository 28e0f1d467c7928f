# check=skip=InvalidDefaultArgInFrom
#
# Every program of the backend as a static binary and nothing else: no shell, no libraries, no package manager. Receivers,
# functions and the operators' API run from this image; the images with tools take their program from it.
#
#   docker build -f infra/docker/static.Dockerfile --build-arg GO_IMAGE=golang@sha256:... .

ARG GO_IMAGE

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# The tag leaves out Cloud Storage's direct path over gRPC, which nothing here uses: a quarter of each program.
ENV CGO_ENABLED=0
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    set -eu; \
    mkdir -p /out/app /out/tmp /out/etc/ssl/certs; \
    for program in cmd/functions cmd/operators services/*/cmd; do \
      name=${program%/cmd}; \
      go build -tags disable_grpc_modules,nodynamic -trimpath -ldflags='-s -w' -o "/out/app/${name##*/}" "./$program"; \
    done; \
    cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/; \
    printf 'splatworks:x:65532:65532::/tmp:/none\n' >/out/etc/passwd; \
    chmod 1777 /out/tmp

FROM scratch
COPY --from=build /out/ /
USER 65532:65532
ENTRYPOINT ["/app/functions"]
