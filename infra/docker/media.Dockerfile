# check=skip=InvalidDefaultArgInFrom
#
# Workers of export, and of filter where it has a machine of its own: their programs, ffmpeg and its libraries. No shell, no package manager.
#
#   docker build -f infra/docker/media.Dockerfile --build-arg DEBIAN_IMAGE=debian@sha256:... \
#     --build-arg STATIC_IMAGE=...@sha256:... .

ARG DEBIAN_IMAGE
ARG STATIC_IMAGE

FROM ${STATIC_IMAGE} AS programs

FROM ${DEBIAN_IMAGE} AS root
ARG SNAPSHOT=yes
RUN --mount=type=bind,source=infra/docker,target=/install SNAPSHOT=${SNAPSHOT} sh /install/install.sh media
COPY --from=programs /app/filter /app/export /app/

FROM scratch
COPY --from=root / /
ENV HOME=/tmp
USER 65532:65532
ENTRYPOINT ["/app/filter"]
