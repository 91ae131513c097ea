#!/usr/bin/env bash
# containerd's command line, on the daemon of with-containerd.sh. How it is called: see client.sh; it has no login.
. "$(dirname "$0")/client.sh"

login() {
    echo "ctr.sh: ctr has no login" >&2
    exit 2
}

pull() {
    limited ctr images pull --plain-http --snapshotter native "${credential[@]}" "$1" >&2
    ctr images list "name==$1" | awk 'NR > 1 { print $3 }'
    ctr images remove --sync "$1" >&2
}

credential=()
[ -z "${3:-}" ] || credential=(--user "$3:$4")
main "$@"
