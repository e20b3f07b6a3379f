# The server: API, dashboard and command line, without engine and libtorch. From the checkout's root:
#
#   docker build -f docker/server.Dockerfile -t secateur-server .
#
# With --build-arg BINARIES=prebuilt nothing is compiled: prebuilt/secateur is taken, a release build for the system of BASE or an older one.
ARG RUST=rust:1.95-slim-bookworm
ARG BASE=debian:bookworm-slim
ARG BINARIES=compiled

FROM ${RUST} AS binaries-compiled
WORKDIR /source
COPY . .
RUN SQLX_OFFLINE=true cargo build --release --locked -p secateur --bin secateur \
    && install -D -m 755 target/release/secateur /out/secateur

FROM ${BASE} AS binaries-prebuilt
COPY --chmod=755 prebuilt/secateur /out/secateur

FROM binaries-${BINARIES} AS binaries

FROM ${BASE} AS sbom
RUN apt-get update && apt-get install -y --no-install-recommends python3
COPY Cargo.lock /source/
COPY scripts /source/scripts
ARG SBOM_SHA256
RUN python3 /source/scripts/deploy/sbom.py /source/Cargo.lock secateur >/sbom.cdx.json \
    && { [ -z "$SBOM_SHA256" ] || echo "$SBOM_SHA256  /sbom.cdx.json" | sha256sum --check; }

FROM ${BASE}
# For S3, webhooks and a database behind TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 10001 secateur \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/secateur --shell /usr/sbin/nologin secateur \
    && install -d -o secateur -g secateur -m 700 /var/lib/secateur
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/secateur/
COPY --from=sbom /sbom.cdx.json /usr/share/doc/secateur/
COPY --chmod=755 docker/healthy.sh /usr/local/bin/secateur-healthy
COPY --from=binaries /out/secateur /usr/local/bin/

ENV SECATEUR_LISTEN=0.0.0.0:8080 \
    SECATEUR_DATA_DIR=/var/lib/secateur/data \
    SECATEUR_SLOTS=0 \
    TMPDIR=/var/lib/secateur
EXPOSE 8080
# The root file system may be read-only; everything that is written goes here.
VOLUME /var/lib/secateur
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/bin/bash", "-c", "exec secateur-healthy \"$SECATEUR_LISTEN\" /healthz"]
ENTRYPOINT ["/usr/local/bin/secateur"]
CMD ["serve"]

ARG VERSION
ARG REVISION
ARG CREATED
ARG SBOM_SHA256
LABEL org.opencontainers.image.title="secateur-server" \
    org.opencontainers.image.description="Pruning as a service: the server, without engine" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    secateur.sbom.path="/usr/share/doc/secateur/sbom.cdx.json" \
    secateur.sbom.sha256="${SBOM_SHA256}"
