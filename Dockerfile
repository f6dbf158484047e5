# One image for stream, backfill and every tool; scripts/docker/entry is its entry. evpipe-ops(7) shows how it is run:
#
#	docker build --tag evpipe .
#	docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --env-file stream.env evpipe stream
#
# The release is named, its point release is not: each build takes up the security updates of the day.
ARG DEBIAN=debian:12-slim

FROM ${DEBIAN} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential \
	libcurl4-openssl-dev libyajl-dev libssl-dev zlib1g-dev libzstd-dev libmicrohttpd-dev libsqlite3-dev
WORKDIR /src
COPY . .
# gcp-emu stays out: nothing in the image needs it, and it would bring in libraries of its own.
RUN make -j"$(nproc)" CFLAGS=-O2 LDFLAGS=-s \
	&& make install DESTDIR=/image CFLAGS=-O2 LDFLAGS=-s \
	&& install -m 0755 scripts/docker/entry /image/usr/local/bin/evpipe-entry \
	&& rm /image/usr/local/bin/gcp-emu

FROM ${DEBIAN}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="evpipe" \
	org.opencontainers.image.description="Events from Pub/Sub to BigQuery and Cloud Storage, as a pipeline of small tools" \
	org.opencontainers.image.licenses="MIT" \
	org.opencontainers.image.version="${VERSION}" \
	org.opencontainers.image.revision="${REVISION}"
# bash, coreutils and util-linux (setpriv) are there: Debian marks them essential.
RUN apt-get update \
	&& apt-get install --yes --no-install-recommends ca-certificates libcurl4 libyajl2 libssl3 zlib1g libzstd1 \
	&& rm -rf /var/lib/apt/lists/*
COPY --from=build /image/usr/local/bin/ /usr/local/bin/
COPY --from=build /image/usr/local/share/evpipe/ /usr/local/share/evpipe/
# Nobody, by number, so that a runtime can see that it is not root. The root may be read-only: FIFOs and spilled objects of the
# lake go to /tmp, which is to be a tmpfs.
USER 65532:65532
WORKDIR /tmp
# No HEALTHCHECK: a chain that lost a stage ends, and with it the container. Who is slow and who is dead is told by the
# subscription's oldest message, which is watched from outside.
ENTRYPOINT ["/usr/local/bin/evpipe-entry"]
CMD ["stream"]
