# A worker that computes on an NVIDIA GPU: server's program, engine, and libtorch with all its CUDA libraries (5 GB). The host has the driver,
# and NVIDIA's container toolkit brings it in. From the checkout's root:
#
#   docker build -f docker/worker-cuda.Dockerfile -t secateur-worker-cuda .
#
# With --build-arg BINARIES=prebuilt nothing is compiled or fetched: prebuilt/secateur, prebuilt/secateur-engine and prebuilt/libtorch are
# taken. The last has torch/lib and nvidia, as they lie in the cache after `SECATEUR_DEVICE=cuda scripts/setup-libtorch.sh`.
ARG RUST=rust:1.95-slim-bookworm
ARG BASE=debian:bookworm-slim
ARG BINARIES=compiled

FROM ${RUST} AS binaries-compiled
RUN apt-get update && apt-get install -y --no-install-recommends g++ python3 python3-pip
WORKDIR /source
COPY scripts/cache.sh scripts/setup-libtorch.sh scripts/
ENV SECATEUR_CACHE=/cache SECATEUR_DEVICE=cuda SQLX_OFFLINE=true
RUN scripts/setup-libtorch.sh
COPY . .
RUN LIBTORCH="$(scripts/setup-libtorch.sh)" && export LIBTORCH && export LD_LIBRARY_PATH="$LIBTORCH/lib" \
    && cargo build --release --locked --workspace --bins \
    && install -D -m 755 -t /out target/release/secateur target/release/secateur-engine \
    && mkdir -p /out/libtorch/torch && cp -a "$LIBTORCH/lib" /out/libtorch/torch/ && cp -a "$LIBTORCH/../nvidia" /out/libtorch/

FROM ${BASE} AS binaries-prebuilt
COPY prebuilt/secateur prebuilt/secateur-engine /out/
COPY prebuilt/libtorch /out/libtorch

FROM binaries-${BINARIES} AS binaries

FROM ${BASE} AS sbom
RUN apt-get update && apt-get install -y --no-install-recommends python3
COPY Cargo.lock /source/
COPY scripts /source/scripts
ARG SBOM_SHA256
RUN python3 /source/scripts/deploy/sbom.py /source/Cargo.lock secateur secateur-engine --libtorch cuda >/sbom.cdx.json \
    && { [ -z "$SBOM_SHA256" ] || echo "$SBOM_SHA256  /sbom.cdx.json" | sha256sum --check; }

FROM ${BASE}
# For S3 and a database behind TLS; libtorch is C++.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 10001 secateur \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/secateur --shell /usr/sbin/nologin secateur \
    && install -d -o secateur -g secateur -m 700 /var/lib/secateur
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/secateur/
COPY --from=sbom /sbom.cdx.json /usr/share/doc/secateur/
COPY --chmod=755 docker/healthy.sh /usr/local/bin/secateur-healthy
# The libraries find those of CUDA by a path relative to themselves.
COPY --from=binaries /out/libtorch /opt/libtorch
COPY --from=binaries --chmod=755 /out/secateur /out/secateur-engine /usr/local/bin/

# The metrics tell the health check that the worker lives; who wants to see them from outside names another address.
ENV LD_LIBRARY_PATH=/opt/libtorch/torch/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    SECATEUR_DEVICE=cuda \
    SECATEUR_METRICS_LISTEN=127.0.0.1:9090 \
    TMPDIR=/var/lib/secateur
EXPOSE 9090
# The root file system may be read-only; everything that is written goes here.
VOLUME /var/lib/secateur
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/bin/bash", "-c", "exec secateur-healthy \"$SECATEUR_METRICS_LISTEN\" /metrics"]
ENTRYPOINT ["/usr/local/bin/secateur"]
CMD ["worker"]

ARG VERSION
ARG REVISION
ARG CREATED
ARG SBOM_SHA256
LABEL org.opencontainers.image.title="secateur-worker-cuda" \
    org.opencontainers.image.description="Pruning as a service: a worker on an NVIDIA GPU, with engine, libtorch and CUDA" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    secateur.sbom.path="/usr/share/doc/secateur/sbom.cdx.json" \
    secateur.sbom.sha256="${SBOM_SHA256}"
