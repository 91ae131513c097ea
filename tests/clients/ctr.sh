#!/usr/bin/env bash
# containerd's command line, on the daemon of with-containerd.sh. Arguments: see client.sh; it has no login. And
#
#   ctr.sh mirror REGISTRY USER PASSWORD GROUP/dependency_proxy/containers/IMAGE [HOME]
#
# pulls HOME/IMAGE through the group, as its hosts.toml then says, with the credential in a header. HOME is the registry
# that the image is of; where it is given, hosts.toml is that of all registries, and else that of docker.io.
. "$(dirname "$0")/client.sh"

login() {
    echo "ctr.sh: ctr has no login" >&2
    exit 2
}

pull() {
    fetch "$1" --plain-http "${credential[@]}"
}

mirror() {
    local hosts=$folder/hosts home=${2:-docker.io} file=_default
    [ -n "${2:-}" ] || file=docker.io
    mkdir -p "$hosts/$file"
    # What does not come from the mirror comes from nowhere.
    cat >"$hosts/$file/hosts.toml" <<END
server = "http://127.0.0.1:1"
[host."http://$(sed 's|/|/v2/|' <<<"$(proxy_of "$1")")"]
capabilities = ["pull", "resolve"]
override_path = true
[host."http://$(sed 's|/|/v2/|' <<<"$(proxy_of "$1")")".header]
Authorization = "Basic $(printf %s "$user:$password" | base64 -w0)"
END
    fetch "$home/$(home_of "$1")" --hosts-dir "$hosts"
}

fetch() {
    local image=$1
    shift
    limited ctr images pull --snapshotter native "$@" "$image" >&2
    ctr images list "name==$image" | awk 'NR > 1 { print $3 }'
    ctr images remove --sync "$image" >&2
}

user=${3:-} password=${4:-}
credential=()
[ -z "$user" ] || credential=(--user "$user:$password")
main "$@"
