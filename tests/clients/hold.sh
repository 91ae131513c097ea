#!/usr/bin/env bash
# The command for the `with-*.sh` scripts when a program needs their daemons for some time: prints each named variable
# as a line `NAME=VALUE`, then waits until its standard input is closed, which also happens when that program dies.
#
#   with-dockerd.sh with-containerd.sh hold.sh DOCKER_HOST CONTAINERD_ADDRESS
set -euo pipefail

for name; do
    echo "$name=${!name}"
done
# In the background, so that a signal is handled at once.
cat <&0 >/dev/null &
wait $!
