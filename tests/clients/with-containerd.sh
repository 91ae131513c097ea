#!/usr/bin/env bash
# Runs a command beside a containerd of its own, as root.
#
#   with-containerd.sh COMMAND...
#
# COMMAND sees CONTAINERD_ADDRESS, which ctr.sh needs. Everything of the daemon is in a temporary folder; it can
# only pull. It ends with COMMAND, whose exit status is handed on.
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

export CONTAINERD_ADDRESS=$folder/containerd.sock
cat >"$folder/config.toml" <<END
version = 2
root = "$folder/root"
state = "$folder/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "$CONTAINERD_ADDRESS"
END

# It dies with this script, even where that is killed.
setpriv --pdeathsig TERM containerd --config "$folder/config.toml" >"$folder/log" 2>&1 </dev/null &
daemon=$!
started+=("$daemon")

ready=
for _ in $(seq 600); do
    if ctr version >/dev/null 2>&1; then
        ready=yes
        break
    fi
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.05
done
if [ -z "$ready" ]; then
    echo "with-containerd.sh: containerd did not start:" >&2
    tail -20 "$folder/log" >&2
    exit 1
fi

# In the background, so that a signal is heeded at once; it keeps the standard input.
"$@" <&0 &
started+=($!)
wait $!
