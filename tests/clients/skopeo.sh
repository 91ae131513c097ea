#!/usr/bin/env bash
# Skopeo, which copies an image with all its platforms into a folder. Arguments: see client.sh; and
#
#   skopeo.sh inspect REGISTRY USER PASSWORD IMAGE
#
# prints what `skopeo inspect` does, which also asks for the list of tags;
#
#   skopeo.sh list_tags REGISTRY USER PASSWORD NAME
#
# prints what `skopeo list-tags` does, which follows the list to its last page;
#
#   skopeo.sh signatures REGISTRY USER PASSWORD IMAGE
#
# copies an image with the signatures that cosign attached to it, and prints them, one per line.
. "$(dirname "$0")/client.sh"

login() {
    limited skopeo login --tls-verify=false --username "$2" --password-stdin "$1" <<<"$3"
}

pull() {
    local image=$folder/image
    limited skopeo copy --all --src-tls-verify=false "docker://$1" "dir:$image" >&2
    check "$image"
    sha256sum "$image/manifest.json" | sed 's/^\([0-9a-f]*\).*/sha256:\1/'
}

# Skopeo names each file by the digest it should have.
check() {
    local file name
    for file in "$1"/*; do
        name=${file##*/}
        case $name in manifest.json | version) continue ;; esac
        sha256sum --check --quiet <<<"${name%.manifest.json}  $file" >&2
    done
}

inspect() {
    limited skopeo inspect --tls-verify=false "docker://$1"
}

list_tags() {
    limited skopeo list-tags --tls-verify=false "docker://$1"
}

signatures() {
    local image=$folder/image file
    mkdir "$folder/registries.d"
    echo 'default-docker: {use-sigstore-attachments: true}' >"$folder/registries.d/all.yaml"
    limited skopeo --registries.d "$folder/registries.d" copy --src-tls-verify=false "docker://$1" "dir:$image" >&2
    for file in "$image"/signature-*; do
        [ ! -e "$file" ] || tail -n 1 "$file"
        echo
    done
}

main "$@"
