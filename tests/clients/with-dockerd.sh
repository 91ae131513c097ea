#!/usr/bin/env bash
# Runs a command beside a Docker engine of its own (Debian's), as root.
#
#   with-dockerd.sh COMMAND...
#
# COMMAND sees DOCKER_HOST, which docker.sh needs. Everything of the engine is in a temporary folder: it meets
# no other engine, has no network for containers, changes no firewall rule and can only pull.
# It talks HTTP to registries on 127.0.0.0/8, as every Docker engine does. The engine ends with COMMAND, whose
# exit status is handed on.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

folder=$(mktemp -d)
started=()

stop() {
    trap '' EXIT TERM INT HUP
    [ ${#started[@]} -eq 0 ] || { kill "${started[@]}"; wait "${started[@]}"; } 2>/dev/null || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 143' TERM INT HUP

echo '{}' >"$folder/daemon.json"
# It dies with this script, even where that is killed. The driver vfs needs nothing of the file system.
setpriv --pdeathsig TERM dockerd \
    --config-file "$folder/daemon.json" --host "unix://$folder/docker.sock" --pidfile "$folder/docker.pid" \
    --data-root "$folder/data" --exec-root "$folder/exec" --storage-driver vfs \
    --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
    >"$folder/log" 2>&1 </dev/null &
engine=$!
started+=("$engine")

export DOCKER_HOST="unix://$folder/docker.sock"
for _ in $(seq 600); do
    ready=$(curl --silent --fail --unix-socket "$folder/docker.sock" http://engine/_ping || true)
    [ "$ready" != OK ] || break
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.05
done
if [ "$ready" != OK ]; then
    echo "with-dockerd.sh: dockerd did not start:" >&2
    tail -20 "$folder/log" >&2
    exit 1
fi

# In the background, so that a signal is heeded at once; it keeps the standard input.
"$@" <&0 &
started+=($!)
wait $!
