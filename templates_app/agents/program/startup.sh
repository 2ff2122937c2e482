# ---------------------------------------------------------------------- scripts of the manifest
is_name() {
    case $1 in
        '' | [0-9]* | *[!A-Za-z0-9_]*) return 1 ;;
    esac
}

# Set `_value` to a text with `$NAME` and `${NAME}` replaced by variables of the agent's environment.
expand() {
    case $1 in
        *\$*) ;;
        *)
            _value=$1
            return
            ;;
    esac
    _value=$(
        printf '%s.' "$1" | awk '
            { text = text (NR > 1 ? "\n" : "") $0 }
            END {
                while ((at = index(text, "$")) > 0) {
                    printf "%s", substr(text, 1, at - 1)
                    text = substr(text, at + 1)
                    if (match(text, /^[A-Za-z_][A-Za-z0-9_]*/)) name = substr(text, 1, RLENGTH)
                    else if (match(text, /^[{][A-Za-z_][A-Za-z0-9_]*[}]/)) name = substr(text, 2, RLENGTH - 2)
                    else { printf "$"; continue }
                    printf "%s", ENVIRON[name]
                    text = substr(text, RLENGTH + 1)
                }
                printf "%s", text
            }'
    )
    _value=${_value%.}
}

# Set `_shell` to the user's login shell, else to `/bin/sh`.
find_shell() {
    _entry=$(getent passwd "$(id -u)" 2>/dev/null) ||
        _entry=$(awk -F : -v id="$(id -u)" '$3 == id { print; exit }' /etc/passwd 2>/dev/null)
    _shell=${_entry##*:}
    case $_shell in
        */nologin | */false | '') _shell=${SHELL:-/bin/sh} ;;
    esac
    [ -x "$_shell" ] || _shell=/bin/sh
}

# Set `_log` to a new file for startup or shutdown that only this user can read. One that another user has put there is
# not used.
make_log() {
    _log=${TMPDIR:-/tmp}/coder-$1-script.log
    rm -f "$_log" 2>/dev/null
    (umask 077 && set -C && : >"$_log") 2>/dev/null && return
    say "$_log cannot be written, so what the $1 script prints is lost"
    _log=/dev/null
}

# Copy the standard input to the log. At its limit, say so, and read what else comes without keeping it: the script goes
# on. Ends after the last program that can write. Each `dd` reads as often as it could without exceeding the limit.
keep_log() {
    trap '' TERM INT HUP
    _kept=0
    while [ $((_reads = (_longest_log - _kept) / 4096)) -gt 0 ]; do
        _copied=$(dd bs=4096 count="$_reads" 2>&1 >>"$_log")
        case $_newline$_copied in
            *"${_newline}0+0 records in"*) return ;; # the end
            *' records in'*) ;;
            *) return ;;
        esac
        _kept=$(($(wc -c <"$_log")))
    done
    printf '\ncoder agent: this log has reached its limit of %s bytes; what follows is not kept\n' "$_longest_log" >>"$_log"
    dd bs=65536 of=/dev/null 2>/dev/null
}

# Open a new log for startup or shutdown as file 8: a pipe to the process `_keeper`. Its name is gone at once.
open_log() {
    make_log "$1"
    _pipe=${TMPDIR:-/tmp}/coder-$1-$_session.pipe
    if (umask 077 && mkfifo "$_pipe" && : <>"$_pipe") 2>/dev/null; then
        exec 8<>"$_pipe"
        exec 7<"$_pipe"
        exec 8>"$_pipe"
        rm -f "$_pipe"
        (umask 077 && keep_log) <&7 7<&- 8>&- 9>&- &
        _keeper=$!
        exec 7<&-
    else
        say "a pipe cannot be made in ${TMPDIR:-/tmp}, so what the $1 script prints is lost"
        exec 8>/dev/null
        _keeper=
    fi
}

# Become the shell that runs a script, which comes by standard input: command lines have a limit and can be read. The
# arguments are variables of the environment.
become_shell() {
    case $_locale in
        set*) LC_ALL=${_locale#set} ;;
        *) unset LC_ALL ;;
    esac
    cd "$_directory" 2>/dev/null || cd "${HOME:-/}" 2>/dev/null || cd /
    for _variable; do
        # A shell ends when a script sets one of its read-only variables.
        # shellcheck disable=SC2163 # the value is NAME=text
        if (export "$_variable") 2>/dev/null; then
            export "$_variable"
        fi
    done
    if [ -e /dev/fd/0 ]; then
        exec "$_shell" /dev/fd/3 3<&0 </dev/null >&8 2>&1 8>&- 9>&-
    fi
    _script=$(cat)
    exec "$_shell" -c "$_script" </dev/null >&8 2>&1 8>&- 9>&-
}

# Start a script in the background, with the environment and in the directory of the manifest; `_running` is its shell.
start_script() {
    _script=$1
    lookup directory
    expand "$_value"
    # shellcheck disable=SC2088 # these are patterns
    case $_value in
        '') _directory=${HOME:-/} ;;
        '~' | '~/'*) _directory=${HOME:-}${_value#\~} ;;
        /*) _directory=$_value ;;
        *) _directory=${HOME:-}/$_value ;;
    esac
    set -- CODER=true "USER=$(id -un)"
    IFS=$_newline
    for _line in $(printf '%s\n' "$_facts" | awk '/^environment_variables\./'); do
        _variable=${_line%%"$_tab"*}
        _variable=${_variable#environment_variables.}
        if is_name "$_variable"; then
            restore "${_line#*"$_tab"}"
            expand "$_value"
            set -- "$@" "$_variable=$_value"
        else
            say "a name is not one of a variable of the environment, so it is not set"
        fi
    done
    unset IFS
    printf '%s\n' "$_script" | become_shell "$@" &
    _running=$!
    exec 8>&-
}

# Run a script of the manifest to its end: startup or shutdown. Reports when it takes longer than its timeout, and goes
# on. Sets `_result` to its exit status. Runs nothing, successfully, if there is no such script.
run_script() {
    _result=0
    lookup "$1_script"
    [ -n "$_value" ] || return 0
    _is_late=
    trap '_is_late=yes' USR1
    find_shell
    open_log "$1"
    start_script "$_value"
    _process=$_running
    lookup_seconds "$1_script_timeout"
    _timeout=$_value
    _timer=
    _self=$(exec sh -c 'echo "$PPID"')
    if [ "$_timeout" -gt 0 ]; then
        (begin && nap "$_timeout" && kill -USR1 "$_self") 2>/dev/null &
        _timer=$!
    fi
    trap 'kill $_process $_timer 2>/dev/null; exit 0' TERM
    wait "$_process"
    _result=$?
    if [ -n "$_is_late" ]; then
        say "the $1 script takes longer than its timeout of $_timeout seconds"
        report_state "$2"
        wait "$_process"
        _second=$?
        # 127: it had ended in the moment of the signal, and its result was known before.
        [ "$_second" = 127 ] || _result=$_second
    fi
    [ -z "$_timer" ] || kill "$_timer" 2>/dev/null
    # The rest of the log. Programs that the script has started can keep it open for as long as they run.
    if [ -n "$_keeper" ]; then
        (begin && nap 1 && kill -USR1 "$_self") 2>/dev/null &
        _timer=$!
        wait "$_keeper"
        kill "$_timer" 2>/dev/null
    fi
    trap 'exit 0' TERM
    [ "$_result" = 0 ] || say "the $1 script ended with status $_result; it printed to $_log"
}

# Run the startup script once and report its states, in the background.
run_startup() {
    begin
    report_state starting
    run_script startup start_timeout
    if [ "$_result" = 0 ]; then
        say 'the workspace is ready'
        report_state ready
    else
        report_state start_error
    fi
    # The main process ends this one by its number, which must not become that of another process.
    begin
    while is_alive; do
        nap 600
    done
}
