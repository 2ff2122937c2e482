#!/usr/bin/env sh
# Fetches the agent of the workspace and becomes it. Templates put this text between single quotes, so it has none.
set -eu

# A machine whose agent cannot run stays for a day, so that an administrator can look at it.
stay() {
    status=$?
    [ "$status" -eq 0 ] && return
    echo "coder: the agent could not be started (status $status); this machine stays as it is for a day" >&2
    sleep 86400
}
trap stay EXIT

fetch() {
    if command -v curl >/dev/null 2>&1; then
        curl --fail --silent --show-error --location --compressed "$program" -o coder
    elif command -v wget >/dev/null 2>&1; then
        wget -q "$program" -O coder
    elif command -v busybox >/dev/null 2>&1; then
        busybox wget -q "$program" -O coder
    else
        echo "coder: this machine has neither curl nor wget to fetch the agent" >&2
        exit 127
    fi
}

program="${ACCESS_URL}bin/coder-${OS}-${ARCH}"
folder=$(mktemp -d)
cd "$folder"
until fetch; do
    echo "coder: $program cannot be fetched; trying again in 30 seconds" >&2
    sleep 30
done
chmod +x coder

export CODER_AGENT_AUTH="${AUTH_TYPE}"
export CODER_AGENT_URL="${ACCESS_URL}"
exec ./coder agent
