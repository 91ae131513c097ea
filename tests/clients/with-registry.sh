#!/usr/bin/env bash
# Runs a command beside Debian's `docker-registry` on a free loopback port.
#
#   with-registry.sh FOLDER plain COMMAND...
#   with-registry.sh FOLDER basic USER PASSWORD COMMAND...
#   with-registry.sh FOLDER token 'USER:PASSWORD=PREFIX[,PREFIX...] ...' COMMAND...
#   with-registry.sh FOLDER cache URL COMMAND...
#
# FOLDER holds the images and is kept: several registries may serve one folder, so that images are pushed to a plain
# one and served by a protected one. `token` starts a token server too, on a separate port; token_server.py describes
# its accounts. `cache` is a pull-through cache of the registry at URL. COMMAND gets the registry's address,
# `127.0.0.1:PORT`, in the variable REGISTRY, and that of the token server, if there is one, in TOKEN_SERVER. Both end
# with COMMAND, whose exit status is returned.
. "$(dirname "$0")/beside.sh"

main() {
    local images guard section
    export TOKEN_SERVER=
    images=$(mkdir -p "$1" && cd "$1" && pwd)
    guard=$2
    shift 2
    case $guard in
    plain)
        section=
        ;;
    basic)
        htpasswd -Bbn "$1" "$2" >"$folder/htpasswd"
        section="auth: {htpasswd: {realm: registry, path: '$folder/htpasswd'}}"
        shift 2
        ;;
    token)
        start_token_server $1
        TOKEN_SERVER=$listener
        section="auth: {token: {realm: 'http://$TOKEN_SERVER/token', service: registry, issuer: token-server,
                                rootcertbundle: '$folder/certificate.pem'}}"
        shift
        ;;
    cache)
        section="proxy: {remoteurl: '$1'}"
        shift
        ;;
    *)
        echo "with-registry.sh: unknown guard '$guard'" >&2
        exit 2
        ;;
    esac
    start_registry "$images" "$section"
    export REGISTRY=$listener
    run "$@"
}

start_token_server() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=token-server \
        -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2>/dev/null
    start "$(dirname "$0")/token_server.py" "$folder/key.pem" "$folder/certificate.pem" "$@"
    await listening
}

start_registry() {
    cat >"$folder/config.yml" <<END
version: 0.1
log: {accesslog: {disabled: true}, formatter: text}
storage:
  filesystem: {rootdirectory: '$1'}
  delete: {enabled: true}
http: {addr: '127.0.0.1:0', secret: of-no-use}
${2:-}
END
    start docker-registry serve "$folder/config.yml"
    await listening
}

# Finds the address of the daemon started last in its log.
listening() {
    listener=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$log")
    [ -n "$listener" ]
}

main "$@"
