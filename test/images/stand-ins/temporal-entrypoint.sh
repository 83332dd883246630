#!/bin/sh
# A server that listens on every address must be told which one others reach it at.
set -eu
own=$(hostname -i | cut -d' ' -f1)
export BIND_ON_IP="${BIND_ON_IP:-$own}" TEMPORAL_BROADCAST_ADDRESS="${TEMPORAL_BROADCAST_ADDRESS:-$own}"
exec temporal-server start
