# Sourced by the `with-*.sh` scripts: a daemon in a temporary folder, and a command that runs beside it.
#
# The daemon and the command end with the script, however it ends, and the folder is removed.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

folder=$(mktemp -d)
daemon=
log=
started=()

stop() {
    trap '' EXIT TERM INT HUP
    [ ${#started[@]} -eq 0 ] || { kill "${started[@]}"; wait "${started[@]}"; } 2>/dev/null || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 143' TERM INT HUP

# start DAEMON ARGUMENT...: starts it, so that it ends with this script even if that is killed.
start() {
    log=$folder/${1##*/}.log
    : >"$log"
    setpriv --pdeathsig TERM "$@" >"$log" 2>&1 </dev/null &
    daemon=$!
    started+=("$daemon")
}

# await PROBE...: returns once PROBE succeeds; prints the daemon's log if it has ended or takes 30 seconds.
await() {
    for _ in $(seq 600); do
        if "$@"; then return; fi
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.05
    done
    echo "${0##*/}: the daemon did not start:" >&2
    tail -20 "$log" >&2
    exit 1
}

# run COMMAND...: runs it with the standard input, so that it ends like a daemon. It runs in the background, so that a
# signal is handled at once.
run() {
    setpriv --pdeathsig TERM "$@" <&0 &
    started+=($!)
    wait $!
}
