#!/usr/bin/env bash
# Buildah with a separate storage. Arguments: see client.sh.
. "$(dirname "$0")/client.sh"

own_buildah() {
    limited buildah --root "$folder/storage" --runroot "$folder/run" --storage-driver vfs "$@"
}

login() {
    own_buildah login --tls-verify=false --username "$2" --password-stdin "$1" <<<"$3"
}

pull() {
    own_buildah pull --tls-verify=false "$1" >&2
    own_buildah images --format '{{.Digest}}'
}

main "$@"
