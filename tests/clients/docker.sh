#!/usr/bin/env bash
# Docker's command line, on the engine of with-dockerd.sh. Arguments: see client.sh; and
#
#   docker.sh push REGISTRY USER PASSWORD IMAGE
#
# pulls the image and pushes it to where it came from.
# Pulls of one engine share its layers: do not pull the same image twice at the same time.
. "$(dirname "$0")/client.sh"

# Debian's, whatever else is installed, unless another is asked for: newer ones prompt where it reports an error.
docker=${DOCKER_COMMAND:-/usr/bin/docker}

login() {
    limited "$docker" login --username "$2" --password-stdin "$1" <<<"$3"
}

pull() {
    limited "$docker" pull "$1" >&2
    "$docker" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$1" | sed -n 's/.*@//p'
    "$docker" image rm --force "$1" >/dev/null
}

push() {
    local status=0
    limited "$docker" pull "$1" >&2
    limited "$docker" push "$1" >&2 || status=$?
    "$docker" image rm --force "$1" >/dev/null
    return $status
}

main "$@"
