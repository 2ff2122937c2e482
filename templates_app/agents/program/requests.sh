# ---------------------------------------------------------------------- requests
# Send METHOD PATH BODY SECONDS [--fail]. The reply goes to standard output, in the form of the program. The token goes
# to the program by its standard input: other users of the machine can read command lines.
send() {
    case $_tool in
        curl)
            printf 'url = "%s/%s"\nheader = "Coder-Session-Token: %s"\nheader = "Content-Type: application/json"\n' \
                "$_api" "$2" "$_token" |
                curl -q -K - --silent --globoff --proto '=http,https' --connect-timeout 5 --max-time "$4" \
                    --write-out '\n%{http_code}' ${5+"$5"} --request "$1" ${3:+--data "$3"} &
            ;;
        wget)
            # It reads headers from its command line and from files on disk, but cookies also from standard input.
            printf '%s\tFALSE\t/\tFALSE\t9999999999\tcoder_session_token\t%s\n' "$_host" "$_token" |
                wget --no-config --no-hsts --load-cookies=/dev/stdin --header='Content-Type: application/json' --quiet \
                    --save-headers --content-on-error --tries=1 --timeout="$4" --max-redirect=0 --output-document=- \
                    --method="$1" ${3:+--body-data="$3"} "$_api/$2" &
            ;;
        *)
            # shellcheck disable=SC2086 # a program, or one with an argument
            ${_limit:+"$_limit" "$4"} $_wget -q -O - --header "Coder-Session-Token: $_token" \
                --header 'Content-Type: application/json' ${3:+--post-data "$3"} "$_api/$2" 2>&1 &
            ;;
    esac
    _running=$!
    wait "$_running"
}

# Send METHOD PATH [BODY]. Sets `_status`, 000 without an answer, and `_answer`, the body.
request() {
    _reply=$(send "$1" "$2" "${3-}" "$_patience" 2>/dev/null)
    _ended=$?
    case $_tool in
        curl)
            _status=${_reply##*"$_newline"}
            _answer=${_reply%"$_newline"*}
            ;;
        wget)
            _status=${_reply#HTTP/* }
            _status=${_status%%[!0-9]*}
            _answer=${_reply#*"$_crlf$_crlf"}
            # It prints nothing of an answer without a body.
            [ "$_ended$_reply" != 0 ] || _status=204
            ;;
        *)
            # It prints the status of errors only.
            _answer=$_reply
            _status=200
            if [ "$_ended" != 0 ]; then
                _status=${_reply#*HTTP/*' '}
                _status=${_status%%[!0-9]*}
            fi
            ;;
    esac
    case $_status in
        [1-5][0-9][0-9]) ;;
        *) _status=000 _answer='' ;;
    esac
}

# Say why a request was not accepted.
say_refusal() {
    if [ "$_status" = 000 ]; then
        say_once "$_url does not answer; trying again"
        return
    fi
    _facts=''
    _value=''
    parse "$_answer" && lookup message
    say_once "the server refuses $1 with status $_status${_value:+: $_value}; trying again"
}

# Sleep such that a signal ends it at once.
nap() {
    sleep "$1" &
    _running=$!
    wait "$_running"
}

# True while the agent's main process exists: its helpers end soon after it was killed.
is_alive() {
    kill -0 "$$" 2>/dev/null
}

# Begin a process in the background: TERM ends it with what it runs.
begin() {
    _running=
    trap '[ -z "$_running" ] || kill "$_running" 2>/dev/null; exit 0' TERM
}

# Report the state of a script until the server has accepted it; once only while the agent stops.
report_state() {
    _delay=1
    while is_alive; do
        request POST report-lifecycle "{\"state\":\"$1\"}"
        [ -z "$_is_leaving" ] || return 0
        case $_status in
            2??) return ;;
            400) say "the server does not know the state $1" && return ;;
        esac
        nap "$_delay"
        [ $((_delay *= 2)) -le 15 ] || _delay=15
    done
}
