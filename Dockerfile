# The image of ticklake: the program, on a small Debian, run by a user without rights.
#
#   docker build --tag ticklake .
#   docker run --rm ticklake --help
#   docker run --stop-timeout 45 --env AWS_REGION=eu-central-1 ticklake --catalog glue ingest …
#
# The build needs BuildKit (Docker 23 or newer). The first one takes long: all dependencies are built, optimised.

# The full image, not -slim: gcc, g++, make, perl and zlib.h are in it, which librdkafka, OpenSSL, SQLite and zstd need.
FROM rust:1.95.0-bookworm AS build
WORKDIR /build
# What .dockerignore lets through: Cargo.toml, Cargo.lock, src, schemas, benches.
COPY . .
# The caches live outside the image, so the program is taken out of them in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked && \
    cp target/release/ticklake /usr/local/bin/

# The same Debian as above, for the same C library.
FROM debian:bookworm-slim
# ca-certificates: TLS to AWS and Kafka. zlib1g: the one library beside the C library's that the program loads.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates zlib1g && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --create-home ticklake
# The program's own OpenSSL (for Kafka) does not look where Debian keeps the certificates.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/ticklake /usr/local/bin/
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 10001
# The working directory: ticklake.toml is read here, ticklake.db is made here, and AWS profiles go to .aws (mount them).
WORKDIR /home/ticklake
COPY schemas schemas
# SIGTERM ends a job well, within ingest.drain_deadline (30 s): give it longer than Docker's 10 s, as above.
ENTRYPOINT ["ticklake"]
# No HEALTHCHECK: the image has nothing that speaks HTTP. `ingest --metrics 0.0.0.0:9464` answers at /healthz, and the
# orchestrator asks there (Kubernetes: livenessProbe.httpGet).
