# ---------------------------------------------------------------------- the connection
# End processes of the agent.
stop_processes() {
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$1" ] || kill $1 2>/dev/null
}

# Connect, and return when the connection has ended or could not be made.
connect() {
    request POST version "{\"version\":\"$_version\"}"
    [ "$_status" = 200 ] || { say_refusal 'the agent' && return; }
    request GET metadata
    [ "$_status" = 200 ] || { say_refusal 'the manifest' && return; }
    parse "$_answer" || { say_once 'the manifest of the server is not JSON; trying again' && return; }
    _manifest=$_facts
    start_checks
    stop_processes "$_statistics"
    report_connections &
    _statistics=$!
    if [ -z "$_script_process" ]; then
        run_startup &
        _script_process=$!
    fi
    _said=
    say 'registered'
    stay_connected
}

# Send requests until one fails.
stay_connected() {
    while send POST presence "{\"session\":\"$_session\"}" "$_poll_patience" --fail >/dev/null 2>&1; do
        _pause=1
    done
}

# End in order: checks and reports, the startup script if it still runs, the shutdown script, the connection. A machine
# that stops does not wait for long, and a second signal ends the agent at once.
leave() {
    trap - TERM INT HUP
    _is_leaving=yes
    _patience=3
    stop_processes "$_checks $_statistics $_script_process"
    _poll=$_running
    if [ -n "$_script_process" ]; then
        (begin && stay_connected) &
        _poll="$_poll $!"
        _facts=$_manifest
        report_state shutting_down
        run_script shutdown shutdown_timeout
        if [ "$_result" = 0 ]; then report_state off; else report_state shutdown_error; fi
    fi
    stop_processes "$_poll"
    request POST presence "{\"session\":\"$_session\",\"is_leaving\":true}"
    say 'stopped'
    exit 0
}
