#!/usr/bin/env bash
# Runs a command beside a separate containerd, as root.
#
#   with-containerd.sh COMMAND...
#
# COMMAND gets CONTAINERD_ADDRESS, which ctr.sh needs. The data of the daemon is in a temporary folder; it can only
# pull. It ends with COMMAND, whose exit status is returned.
. "$(dirname "$0")/beside.sh"

answers() {
    ctr version >/dev/null 2>&1
}

export CONTAINERD_ADDRESS=$folder/containerd.sock
cat >"$folder/config.toml" <<END
version = 2
root = "$folder/root"
state = "$folder/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "$CONTAINERD_ADDRESS"
END

start containerd --config "$folder/config.toml"
await answers
run "$@"
