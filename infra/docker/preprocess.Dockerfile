# check=skip=InvalidDefaultArgInFrom
#
# Worker of preprocess, and of filter, which continues with it: their programs, ffmpeg, and COLMAP 4.2 with global_mapper (GLOMAP), which of Debian only the
# development suite has: DEBIAN_SID_IMAGE is debian:sid-slim by digest, and everything installed comes from the snapshot
# of the day that image was made (install.sh). No shell, no package manager.

ARG DEBIAN_SID_IMAGE
ARG STATIC_IMAGE

FROM ${STATIC_IMAGE} AS programs

FROM ${DEBIAN_SID_IMAGE} AS root
ARG SNAPSHOT=yes
RUN --mount=type=bind,source=infra/docker,target=/install SNAPSHOT=${SNAPSHOT} sh /install/install.sh preprocess
COPY --from=programs /app/filter /app/preprocess /app/

FROM scratch
COPY --from=root / /
ENV HOME=/tmp
USER 65532:65532
ENTRYPOINT ["/app/preprocess"]
