#!/usr/bin/env bash
# Runs a command beside a separate Docker engine (Debian's), as root.
#
#   with-dockerd.sh COMMAND...
#
# COMMAND gets DOCKER_HOST, which docker.sh needs. The data of the engine is in a temporary folder: it is independent of other
# engines, has no network for containers, changes no firewall rule and can only pull. It uses HTTP for registries on
# 127.0.0.0/8, as every Docker engine does. The engine ends with COMMAND, whose exit status is returned.
. "$(dirname "$0")/beside.sh"

answers() {
    [ "$(curl --silent --unix-socket "$folder/docker.sock" http://engine/_ping)" = OK ]
}

echo '{}' >"$folder/daemon.json"
# The driver vfs works on any file system.
start dockerd \
    --config-file "$folder/daemon.json" --host "unix://$folder/docker.sock" --pidfile "$folder/docker.pid" \
    --data-root "$folder/data" --exec-root "$folder/exec" --storage-driver vfs \
    --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
await answers
export DOCKER_HOST="unix://$folder/docker.sock"
run "$@"
