#!/bin/sh
# What the official image does with POSTGRES_USER and POSTGRES_PASSWORD, as far as docker-compose.yml needs it.
set -eu
mkdir -p /run/postgresql "$PGDATA"
chown -R postgres:postgres /run/postgresql "$PGDATA"
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=$(mktemp)
  printf '%s' "$POSTGRES_PASSWORD" >"$password"
  chown postgres "$password"
  as_postgres initdb --username "$POSTGRES_USER" --pwfile "$password" --auth scram-sha-256 --no-sync
  rm "$password"
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
fi
exec setpriv --reuid postgres --regid postgres --init-groups postgres -c 'listen_addresses=*'
