FROM baton-stand-in/debian
RUN apt-get update \
 && apt-get install -y --no-install-recommends rabbitmq-server \
 && rm -rf /var/lib/apt/lists/* /var/lib/rabbitmq/.erlang.cookie \
 && echo '[rabbitmq_management,rabbitmq_prometheus].' >/etc/rabbitmq/enabled_plugins
ENV HOME=/var/lib/rabbitmq RABBITMQ_LOGS=- LANG=C.UTF-8
COPY stand-ins/rabbitmq-entrypoint.sh /usr/local/bin/
VOLUME /var/lib/rabbitmq
ENTRYPOINT ["rabbitmq-entrypoint.sh"]
