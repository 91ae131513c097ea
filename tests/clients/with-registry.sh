#!/usr/bin/env bash
# Runs a command beside Debian's `docker-registry` on a free loopback port.
#
#   with-registry.sh FOLDER plain COMMAND...
#   with-registry.sh FOLDER basic USER PASSWORD COMMAND...
#   with-registry.sh FOLDER token REALM CERTIFICATE COMMAND...
#
# FOLDER holds the images and is kept: several registries may serve one folder, so that a plain one fills
# what a guarded one serves. REALM is the address of a token server, CERTIFICATE the file with the certificate
# of the key it signs with (see token_server.py). COMMAND sees the registry's address, `127.0.0.1:PORT`, in the variable
# REGISTRY. The registry ends with COMMAND, whose exit status is handed on.
set -euo pipefail

images=$(mkdir -p "$1" && cd "$1" && pwd)
guard=$2
shift 2
folder=$(mktemp -d)
started=()

stop() {
    trap '' EXIT TERM INT HUP
    [ ${#started[@]} -eq 0 ] || { kill "${started[@]}"; wait "${started[@]}"; } 2>/dev/null || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 143' TERM INT HUP

auth=
case $guard in
plain) ;;
basic)
    htpasswd -Bbn "$1" "$2" >"$folder/htpasswd"
    auth="auth: {htpasswd: {realm: registry, path: $folder/htpasswd}}"
    shift 2
    ;;
token)
    auth="auth: {token: {realm: '$1', service: registry, issuer: token-server, rootcertbundle: '$2'}}"
    shift 2
    ;;
*)
    echo "with-registry.sh: unknown guard '$guard'" >&2
    exit 2
    ;;
esac

cat >"$folder/config.yml" <<END
version: 0.1
log: {accesslog: {disabled: true}, formatter: text}
storage:
  filesystem: {rootdirectory: '$images'}
  delete: {enabled: true}
http: {addr: '127.0.0.1:0', secret: of-no-use}
$auth
END

# It dies with this script, even where that is killed.
setpriv --pdeathsig TERM docker-registry serve "$folder/config.yml" \
    >"$folder/log" 2>&1 </dev/null &
registry=$!
started+=("$registry")

for _ in $(seq 200); do
    REGISTRY=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$folder/log")
    [ -z "$REGISTRY" ] || break
    kill -0 "$registry" 2>/dev/null || break
    sleep 0.05
done
if [ -z "$REGISTRY" ]; then
    echo "with-registry.sh: docker-registry did not start:" >&2
    cat "$folder/log" >&2
    exit 1
fi
export REGISTRY

# In the background, so that a signal is heeded at once; it keeps the standard input.
"$@" <&0 &
started+=($!)
wait $!
