# check=skip=InvalidDefaultArgInFrom
#
# Worker of train on an NVIDIA card (T4 and later): its program, which loads the card's driver, and six libraries of GO_IMAGE's
# Debian. No CUDA toolkit: the kernels are in the program, and the machine's driver compiles them.
#
#   docker build -f infra/docker/train-cuda.Dockerfile --build-arg GO_IMAGE=golang@sha256:... .

ARG GO_IMAGE

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    sh infra/docker/card.sh /out

FROM scratch
COPY --from=build /out/lib64 /lib64
COPY --from=build /out/lib /lib
COPY --from=build /out/etc /etc
COPY --from=build /out/tmp /tmp
COPY --from=build /out/app/train /out/app/splatworks /app/
# The driver loads its own compiler by name, so its folder must be searched.
ENV HOME=/tmp LD_LIBRARY_PATH=/usr/local/nvidia/lib64
USER 65532:65532
ENTRYPOINT ["/app/train"]
