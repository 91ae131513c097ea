# Sourced by the scripts of the clients, which all have the same two calls:
#
#   NAME.sh login REGISTRY USER PASSWORD
#   NAME.sh pull REGISTRY USER PASSWORD IMAGE
#
# IMAGE is `NAME:TAG` or `NAME@DIGEST`, without the registry. `pull` finds the credential where an earlier login would
# have stored it, without one; an empty USER means none at all. It starts without images and leaves nothing behind.
#
# Standard output of `pull`: every digest by which the client knows the image, one per line, for a multi-arch image
# including that of the index. Standard error: the client's output. A client that takes longer than CLIENT_SECONDS (120) is
# ended, with status 124.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' TERM INT HUP

# Settings and credentials of the user who runs the tests are not used.
export HOME=$folder DOCKER_CONFIG=$folder REGISTRY_AUTH_FILE=$folder/config.json
unset XDG_CONFIG_HOME XDG_RUNTIME_DIR

limited() {
    timeout --foreground --kill-after 5 "${CLIENT_SECONDS:-120}" "$@"
}

store_credential() {
    local registry=$1 user=$2 password=$3 entry=
    [ -z "$user" ] || entry="\"$registry\":{\"auth\":\"$(printf %s "$user:$password" | base64 -w0)\"}"
    echo "{\"auths\":{$entry}}" >"$REGISTRY_AUTH_FILE"
}

# Of HOST/GROUP/dependency_proxy/containers/IMAGE: where the images of a group are, and the name that an image has at home.
proxy_of() {
    echo "${1%%/dependency_proxy/containers/*}/dependency_proxy/containers"
}
home_of() {
    echo "${1#*/dependency_proxy/containers/}"
}

main() {
    local verb=$1 registry=$2 user=$3 password=$4
    case $verb in
    login) login "$registry" "$user" "$password" >&2 ;;
    *)
        store_credential "$registry" "$user" "$password"
        "$verb" "$registry/$5" "${@:6}" </dev/null
        ;;
    esac
}
