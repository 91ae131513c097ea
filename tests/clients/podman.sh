#!/usr/bin/env bash
# Podman with a separate storage. Arguments: see client.sh; and
#
#   podman.sh mirror REGISTRY USER PASSWORD GROUP/dependency_proxy/containers/IMAGE
#
# pulls docker.io/IMAGE through the group, as its registries.conf then says.
. "$(dirname "$0")/client.sh"

own_podman() {
    limited podman --root "$folder/storage" --runroot "$folder/run" --tmpdir "$folder/tmp" --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend none "$@"
}

login() {
    own_podman login --tls-verify=false --username "$2" --password-stdin "$1" <<<"$3"
}

pull() {
    own_podman pull --tls-verify=false "$1" >&2
    own_podman image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$1" | sed -n 's/.*@//p'
}

mirror() {
    export CONTAINERS_REGISTRIES_CONF=$folder/registries.conf
    cat >"$CONTAINERS_REGISTRIES_CONF" <<END
[[registry]]
prefix = "docker.io"
# What does not come from the mirror comes from nowhere.
location = "127.0.0.1:1"
insecure = true
[[registry.mirror]]
location = "$(proxy_of "$1")"
insecure = true
END
    pull "docker.io/$(home_of "$1")"
}

main "$@"
