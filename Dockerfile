# A small image of the broker, built from the repository alone:
#   docker build -t leveret . && docker run -p 5672:5672 -e RABBITMQ_DEFAULT_USER=app -e RABBITMQ_DEFAULT_PASS=secret leveret

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# Not rust-toolchain.toml: the image's own toolchain is the one to use, and it lacks components that are only for development.
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY tests tests
RUN cargo build --release --locked --package leveret --bin leveret

FROM debian:bookworm-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/leveret --shell /usr/sbin/nologin leveret \
 && install --directory --owner=leveret --group=leveret --mode=0750 /var/lib/leveret
COPY --from=build /src/target/release/leveret /usr/local/bin/leveret
# Inside a container, loopback is out of reach for everyone else.
ENV LEVERET_DATA_DIR=/var/lib/leveret \
    LEVERET_MANAGEMENT_LISTEN=0.0.0.0:15672
# A number, so that a platform can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/leveret
VOLUME /var/lib/leveret
EXPOSE 5672 15672
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["leveret", "health"]
ENTRYPOINT ["leveret"]
