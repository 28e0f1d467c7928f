# check=skip=InvalidDefaultArgInFrom
#
# Worker of depth: its program (built with cgo, which loads ONNX Runtime by name), ONNX Runtime and the model, both
# fetched at build from pinned addresses and refused when the SHA-256 is another. Without a model the stage says so in its
# manifest and the pipeline continues: build with --target plain.
#
#   RUNTIME_URL, RUNTIME_SHA256   onnxruntime-linux-x64-VERSION.tgz, or -gpu- for --target gpu (CUDA 12)
#   MODEL_URL, MODEL_SHA256       of engines/depth/models/depth-anything-v2-small.json (Apache-2.0); the program knows the
#                                 model by its descriptor and refuses another file
#   CUDA_IMAGE                    for --target gpu: an image with CUDA 12 and cuDNN 9 (nvidia/cuda:...-cudnn-runtime-...),
#                                 whose libraries ONNX Runtime's CUDA part needs. Without them it works on the CPU.
#   GO_IMAGE and DEBIAN_IMAGE must be of the same Debian release: the program links to its libc.

ARG GO_IMAGE
ARG DEBIAN_IMAGE
ARG CUDA_IMAGE=scratch

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ENV CGO_ENABLED=1
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -tags disable_grpc_modules,nodynamic -trimpath -ldflags='-s -w' -o /out/depth ./services/depth/cmd

FROM ${DEBIAN_IMAGE} AS root
ARG SNAPSHOT=yes
RUN --mount=type=bind,source=infra/docker,target=/install SNAPSHOT=${SNAPSHOT} sh /install/install.sh depth
COPY --from=build /out/depth /app/

FROM ${DEBIAN_IMAGE} AS runtime
ARG RUNTIME_URL
ARG RUNTIME_SHA256
ADD --checksum=sha256:${RUNTIME_SHA256} ${RUNTIME_URL} /tmp/runtime.tgz
RUN mkdir -p /opt/onnxruntime && tar xzf /tmp/runtime.tgz -C /opt/onnxruntime --strip-components=1 --wildcards '*/lib/*.so*' '*/LICENSE'

FROM scratch AS plain
COPY --from=root / /
ENV HOME=/tmp
USER 65532:65532
ENTRYPOINT ["/app/depth"]

FROM plain AS full
ARG MODEL_URL
ARG MODEL_SHA256
COPY --from=runtime /opt/onnxruntime /opt/onnxruntime
ADD --checksum=sha256:${MODEL_SHA256} --chmod=0444 ${MODEL_URL} /opt/models/depth_anything_v2_small.onnx
ENV ONNXRUNTIME_LIBRARY=/opt/onnxruntime/lib/libonnxruntime.so DEPTH_MODELS=/opt/models

FROM ${CUDA_IMAGE} AS cuda
RUN mkdir /cuda && cp -L /usr/local/cuda/lib64/libcublas.so.12 /usr/local/cuda/lib64/libcublasLt.so.12 \
    /usr/local/cuda/lib64/libcudart.so.12 /usr/local/cuda/lib64/libcufft.so.11 /usr/local/cuda/lib64/libcurand.so.10 \
    /usr/local/cuda/lib64/libnvrtc.so.12 /usr/lib/x86_64-linux-gnu/libcudnn*.so.9 /cuda/

FROM full AS gpu
COPY --from=cuda /cuda /opt/cuda
ENV LD_LIBRARY_PATH=/opt/cuda
