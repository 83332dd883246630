FROM baton-stand-in/debian
RUN apt-get update \
 && apt-get install -y --no-install-recommends netcat-openbsd \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home temporal
COPY bin/temporal-server /usr/local/bin/
COPY stand-ins/temporal-entrypoint.sh /etc/temporal/entrypoint.sh
WORKDIR /etc/temporal
USER temporal
CMD ["/etc/temporal/entrypoint.sh"]
