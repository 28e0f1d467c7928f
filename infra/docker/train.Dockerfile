# check=skip=InvalidDefaultArgInFrom
#
# Worker of train: one static binary, which works on the processor.

ARG STATIC_IMAGE

FROM ${STATIC_IMAGE} AS programs

FROM scratch
COPY --from=programs /etc /etc
COPY --from=programs /tmp /tmp
COPY --from=programs /app/train /app/
USER 65532:65532
ENTRYPOINT ["/app/train"]
