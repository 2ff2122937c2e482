#!/bin/sh
# The agent of a workspace, as a script for any POSIX shell: it needs the standard utilities, and curl or wget.
#
# It reports to the server that the workspace runs: version, startup script, health of apps, connections of apps. It
# stays connected by requests that follow one another, and writes nothing to disk but the logs of scripts.
# It offers no terminal and no tunnel. `coder agent` starts it, as the init script of a template does.
#
# Rules of this file. Names begin with `_`, so that they hide no variable that the startup script inherits. What comes
# from the server is data: it is never evaluated, never a pattern, and never an option of a program. Times are lengths
# of `sleep`, never of the clock, which can jump. A signal ends `wait` at once but no other command, so whatever takes
# long runs in the background, and `_running` is its process.
set -uf

_version='@VERSION@'
# Seconds: for an answer; for the answer to a request that keeps the agent connected, which the server holds for 20.
_patience=10
_poll_patience=45
# The longest pauses between attempts to connect, and between reports of connections.
_longest_pause=10
_longest_interval=3600
# The longest log of a script, in bytes.
_longest_log=10485760
_newline='
'
_tab=$(printf '\t')
_crlf=$(printf '\r\n.')
_crlf=${_crlf%.}

# A signal can arrive while the standard error is redirected.
exec 9>&2

say() {
    printf 'coder agent: %s\n' "$1" >&9
}

fail() {
    say "$1"
    exit "${2-1}"
}

# Say something unless it was the last that was said: a server that is away for a day fills no log.
say_once() {
    [ "$1" = "${_said-}" ] || say "$1"
    _said=$1
}
