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
    while send POST presence "{\"session\":\"$_session\"}" "$_poll_patience" --fail >/dev/null 2>&1; do
        _pause=1
    done
}

# End in order: checks and reports, then the startup script if it still runs, then the connection.
leave() {
    trap - TERM INT HUP
    stop_processes "$_checks $_statistics $_script_process"
    [ -z "$_running" ] || kill "$_running" 2>/dev/null
    request POST presence "{\"session\":\"$_session\",\"is_leaving\":true}"
    say 'stopped'
    exit 0
}
