# ---------------------------------------------------------------------- apps
is_local() {
    case $1 in
        http://localhost[:/]* | http://localhost | http://127.* | 'http://[::1]'*) ;;
        *) return 1 ;;
    esac
}

# True if URL answers within SECONDS with a status below 500. Programs of this machine are asked without a proxy.
probe() {
    case $1 in
        *[\"\\]* | *[[:space:][:cntrl:]]*) return 1 ;;
        http://* | https://*) ;;
        *) return 1 ;;
    esac
    _direct=
    if is_local "$1"; then _direct=yes; fi
    # shellcheck disable=SC2086 # `_wget` is a program, or one with an argument
    case $_tool in
        curl)
            _reply=$(
                printf 'url = "%s"\n' "$1" | curl -q -K - --silent --globoff --proto '=http,https' --max-time "$2" \
                    --output /dev/null --write-out 'HTTP/ %{http_code}' ${_direct:+--noproxy '*'}
            )
            ;;
        wget)
            _reply=$(wget --no-config --no-hsts --quiet --server-response --tries=1 --timeout="$2" --max-redirect=0 \
                ${_direct:+--no-proxy} --output-document=/dev/null -- "$1" 2>&1)
            ;;
        *) _reply=$(${_limit:+"$_limit" "$2"} $_wget ${_direct:+-Y off} -q -S -O /dev/null "$1" 2>&1) ;;
    esac
    _reply=${_reply#*HTTP/}
    case ${_reply#* } in
        [1-4][0-9][0-9]*) ;;
        *) return 1 ;;
    esac
}

# Check the health of an app for as long as the agent runs: ID URL INTERVAL THRESHOLD HEALTH. It is unhealthy after more
# failures in a row than the threshold.
check() {
    begin
    _failures=0
    _known=$5
    while is_alive; do
        _health=$_known
        if probe "$2" "$3"; then
            _failures=0
            _health=healthy
        elif [ "$((_failures += 1))" -gt "$4" ]; then
            _health=unhealthy
        fi
        if [ "$_health" != "$_known" ]; then
            request POST app-health "{\"Healths\":{\"$1\":\"$_health\"}}"
            [ "$_status" != 200 ] || _known=$_health
        fi
        nap "$3"
    done
}

# Start the checks of all apps in the manifest instead of those that run. Sets `_ports` to the local ports of apps.
start_checks() {
    stop_processes "$_checks"
    _checks=
    _ports=
    _app=0
    while lookup "apps.$_app.id" && [ -n "$_value" ]; do
        _id=$_value
        lookup "apps.$_app.url"
        if is_local "$_value"; then
            _port=${_value#http://}
            _port=${_port%%[/?#]*}
            case $_port in
                *:*) _port=${_port##*:} ;;
                *) _port=80 ;;
            esac
            _ports="$_ports $_port"
        fi
        lookup "apps.$_app.health"
        _health=$_value
        lookup_number "apps.$_app.healthcheck.threshold" 0 1000000
        _threshold=$_value
        lookup_number "apps.$_app.healthcheck.interval" 0 86400
        _interval=$_value
        lookup "apps.$_app.healthcheck.url"
        case $_id in
            *[!0-9a-fA-F-]*) ;;
            *)
                if [ -n "$_value" ] && [ "$_interval" -gt 0 ] && [ "$_threshold" -gt 0 ]; then
                    check "$_id" "$_value" "$_interval" "$_threshold" "$_health" &
                    _checks="$_checks $!"
                fi
                ;;
        esac
        _app=$((_app + 1))
    done
}

# Print the number of open connections to the local ports of apps, as far as the kernel shows them.
count_connections() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v ports="$_ports" '
        BEGIN { n = split(ports, all, " "); for (i = 1; i <= n; i++) wanted[sprintf("%04X", all[i])] = 1 }
        $4 == "01" && split($2, address, ":") == 2 && address[2] in wanted { count++ }
        END { print count + 0 }'
}

# Report connections as often as the server asks for. The script cannot see how many bytes they carry.
report_connections() {
    begin
    _interval=600
    while is_alive; do
        _count=$(count_connections)
        request POST report-stats "{\"conns_by_proto\":{\"TCP\":${_count:-0}},\"num_comms\":${_count:-0},\"rx_packets\":0,\"rx_bytes\":0,\"tx_packets\":0,\"tx_bytes\":0}"
        if [ "$_status" = 200 ] && parse "$_answer"; then
            lookup_seconds report_interval
            [ "$_value" -ge 10 ] || _value=10
            [ "$_value" -le "$_longest_interval" ] || _value=$_longest_interval
            _interval=$_value
            nap "$_interval"
        else
            nap 60
        fi
    done
}
