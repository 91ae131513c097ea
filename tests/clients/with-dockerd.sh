#!/usr/bin/env bash
# Runs a command beside a Docker engine of its own (Debian's), as root.
#
#   with-dockerd.sh COMMAND...
#
# COMMAND sees DOCKER_HOST, which docker.sh needs. What the engine keeps is in a temporary folder: it meets no other
# engine, has no network for containers, changes no firewall rule and can only pull. It talks HTTP to registries on
# 127.0.0.0/8, as every Docker engine does. The engine ends with COMMAND, whose exit status is handed on.
. "$(dirname "$0")/beside.sh"

answers() {
    [ "$(curl --silent --unix-socket "$folder/docker.sock" http://engine/_ping)" = OK ]
}

echo '{}' >"$folder/daemon.json"
# The driver vfs needs nothing of the file system.
start dockerd \
    --config-file "$folder/daemon.json" --host "unix://$folder/docker.sock" --pidfile "$folder/docker.pid" \
    --data-root "$folder/data" --exec-root "$folder/exec" --storage-driver vfs \
    --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
await answers
export DOCKER_HOST="unix://$folder/docker.sock"
run "$@"
