#!/usr/bin/env bash
# Podman with partial pulls of layers that are compressed as zstd:chunked. Needs root: only overlay knows them.
#
#   podman-partial.sh push FOLDER REGISTRY NAME
#
# creates NAME:1 and NAME:2, whose single layer has 90 files of 100,000 random bytes, of which 5 differ, and pushes them
# to a registry without authentication.
#
#   podman-partial.sh pull FOLDER REGISTRY USER PASSWORD IMAGE
#
# pulls into the storage in FOLDER, which is kept, and fails unless the layer was pulled as a partial blob.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

folder=$2
export HOME=$folder REGISTRY_AUTH_FILE=$folder/config.json CONTAINERS_STORAGE_CONF=$folder/storage.conf
unset XDG_CONFIG_HOME XDG_RUNTIME_DIR
# Podman leaves its storage mounted.
trap 'umount "$folder"/*/overlay 2>/dev/null || true' EXIT

own_podman() {
    timeout --foreground --kill-after 5 120 podman --tmpdir "$folder/tmp" --cgroup-manager cgroupfs --events-backend none "$@"
}

configure() {
    mkdir -p "$folder/.config/containers"
    echo '{}' >"$REGISTRY_AUTH_FILE"
    echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$folder/.config/containers/policy.json"
    cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "overlay"
graphroot = "$folder/$1"
runroot = "$folder/$1-run"
[storage.options]
pull_options = {enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}
END
}

random_files() {
    local number
    for number in $(seq "$1" "$2" 89); do
        head -c 100000 /dev/urandom >"$folder/tree/$number"
    done
}

push() {
    configure pushed
    mkdir "$folder/tree"
    random_files 0 1
    push_tree "$2" "$3:1"
    random_files 7 18
    push_tree "$2" "$3:2"
}

push_tree() {
    tar -C "$folder/tree" -cf "$folder/tree.tar" .
    own_podman import --quiet "$folder/tree.tar" "localhost/$2"
    own_podman push --tls-verify=false --format oci --compression-format zstd:chunked "localhost/$2" "docker://$1/$2"
}

pull() {
    configure pulled
    echo "{\"auths\":{\"$2\":{\"auth\":\"$(printf %s "$3:$4" | base64 -w0)\"}}}" >"$REGISTRY_AUTH_FILE"
    own_podman --log-level debug pull --tls-verify=false "$2/$5" 2>&1 | tee "$folder/pull.log"
    grep -q 'Retrieved partial blob' "$folder/pull.log"
}

case $1 in
push) push "${@:2}" ;;
pull) pull "${@:2}" ;;
esac
