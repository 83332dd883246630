#!/bin/sh
# Prints docker-compose.yml, with the values of .env, as `docker stack deploy` takes it:
#
#   sh deploy/docker/stack.sh | docker stack deploy --compose-file - baton
#
# Swarm knows no order of starts: what cannot begin yet is tried again. It cannot publish a port on the loopback address
# only, so none is published: put a proxy of yours into the network baton_default. It tells others a service's address
# when that is healthy, and etcd's members are healthy when they have found each other: they get no health check.
# Arguments go to `docker compose`.
set -eu
cd "$(dirname "$0")/../.."
docker compose "$@" config | awk '
  { match($0, /^ */); indent = RLENGTH }
  dropping && indent > 4 { next }
  { dropping = 0 }
  /^name:/ { next }
  /^  [^ ]/ { service = $1 }
  service ~ /^etcd-/ && /^    healthcheck:/ { dropping = 1; next }
  /^    (build|depends_on|ports|profiles|security_opt):/ { dropping = 1; next }
  { print }
'
