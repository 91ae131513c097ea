#!/usr/bin/env bash
# How many manifests a second the release binary serves from its cache, with every check of a real pull.
#
#   benches/hits.sh [SECONDS] [CONNECTIONS]
#
# Needs Debian's `wrk`, `docker-registry`, `curl` and `jq`. Everything runs on loopback, on ports of its own, and ends with
# the script; wrk shares the processors with the service.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${HITS_FOLDER:-}

main() {
    if [ -z "$folder" ]; then
        (cd "$here/.." && cargo build --release)
        export HITS_FOLDER=$(mktemp -d)
        trap 'rm -rf "$HITS_FOLDER"' EXIT
        "$here/../tests/clients/with-registry.sh" "$HITS_FOLDER/images" plain "$0" "$@"
        return
    fi
    "$here/../tests/clients/images.py" "$REGISTRY" library/app:1=oci >/dev/null
    start_service
    trap 'kill $service; wait $service || true' EXIT
    log_in
    manifest=$url/v2/bench/dependency_proxy/containers/app/manifests/1
    for word in miss hit; do
        curl -sf -o /dev/null -D - -H "authorization: Bearer $token" "$manifest" | grep -i "^x-cache: $word"
    done
    local before answers
    before=$(cpu_ms)
    wrk --threads 2 --connections "${2:-64}" --duration "${1:-10}" --header "authorization: Bearer $token" "$manifest" |
        tee "$folder/wrk"
    answers=$(sed -n 's/ *\([0-9]*\) requests in .*/\1/p' "$folder/wrk")
    echo "The service took $(((($(cpu_ms) - before) * 1000000) / answers)) ns of processor time a request."
    grep VmHWM "/proc/$service/status"
}

# The processor time that the service has taken so far, in milliseconds.
cpu_ms() {
    awk -v tick="$(getconf CLK_TCK)" '{ print int(($14 + $15) * 1000 / tick) }' "/proc/$service/stat"
}

start_service() {
    cat >"$folder/config.toml" <<END
[server]
listen = "127.0.0.1:0"
metrics_listen = "127.0.0.1:0"
[storage]
data_dir = "$folder/data"
min_free = 0
[bootstrap]
admin_token = "an-admin-token-for-benches"
[cache]
tag_freshness = "1h"
[upstreams."docker.io"]
url = "http://$REGISTRY"
END
    "${HITS_BINARY:-${CARGO_TARGET_DIR:-$here/../target}/release/dependency-proxy}" \
        serve --config "$folder/config.toml" >/dev/null 2>"$folder/log" &
    service=$!
    until url=http://$(sed -n 's/.*"listening".*"address":"\([^"]*\)".*/\1/p' "$folder/log") && [ "$url" != http:// ]; do
        kill -0 $service
        sleep 0.1
    done
}

log_in() {
    local group made
    group=$(api groups name=bench path=bench | jq .id)
    made=$(api "groups/$group/deploy_tokens" name=ci 'scopes[]=read_registry' 'scopes[]=write_registry')
    token=$(curl -sf -u "$(jq -r .username <<<"$made"):$(jq -r .token <<<"$made")" \
        "$url/jwt/auth?service=dependency_proxy" | jq -r .token)
}

api() {
    local path=$1 field
    shift
    curl -sf -H 'private-token: an-admin-token-for-benches' "${@/#/-d}" "$url/api/v4/$path"
}

main "$@"
