# check=skip=InvalidDefaultArgInFrom
#
# Worker of train on the processor, which continues with export: their programs, ffmpeg and its libraries. No shell, no package
# manager.

ARG DEBIAN_IMAGE
ARG STATIC_IMAGE

FROM ${STATIC_IMAGE} AS programs

FROM ${DEBIAN_IMAGE} AS root
ARG SNAPSHOT=yes
RUN --mount=type=bind,source=infra/docker,target=/install SNAPSHOT=${SNAPSHOT} sh /install/install.sh media
COPY --from=programs /app/train /app/export /app/

FROM scratch
COPY --from=root / /
ENV HOME=/tmp
USER 65532:65532
ENTRYPOINT ["/app/train"]
