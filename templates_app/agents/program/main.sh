# ---------------------------------------------------------------------- start
_url=${CODER_AGENT_URL-}
case ${1-} in
    version | --version | -v)
        printf 'coder agent %s\n' "$_version"
        exit 0
        ;;
    agent) shift ;;
    *) fail "usage: coder agent | coder version. This program is the agent of a workspace and has no other commands." 2 ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
        --agent-url=*) _url=${1#*=} ;;
        --agent-url)
            [ $# -gt 1 ] || fail '--agent-url needs an address' 2
            _url=$2
            shift
            ;;
        *) fail "unknown argument $1; use --agent-url, or the variable CODER_AGENT_URL" 2 ;;
    esac
    shift
done

# Ranges of letters and lengths of texts are those of bytes. The startup script gets the value back.
_locale=${LC_ALL+set}${LC_ALL-}
LC_ALL=C
export LC_ALL

_url=${_url%/}
case $_url in
    '') fail 'CODER_AGENT_URL is not set: it is the address of the server, such as https://coder.example.com' ;;
    *[\"\\@]* | *[[:space:][:cntrl:]]*) fail 'CODER_AGENT_URL must be an address without quotes, spaces and passwords' ;;
    http://?* | https://?*) ;;
    *) fail 'CODER_AGENT_URL must begin with http:// or https://' ;;
esac
_api=$_url/api/v2/workspaceagents/me
_token=${CODER_AGENT_TOKEN-}
case $_token in
    '') fail 'CODER_AGENT_TOKEN is not set: the template must pass the token of the agent to the machine' ;;
    *[!0-9a-fA-F-]*) fail 'CODER_AGENT_TOKEN is not the token of an agent, which is a UUID' ;;
esac
[ "${CODER_AGENT_AUTH:-token}" = token ] ||
    fail "CODER_AGENT_AUTH is $CODER_AGENT_AUTH: this agent has auth = \"token\" only"
for _utility in awk dd id mkfifo od sleep tr wc; do
    command -v "$_utility" >/dev/null || fail "the agent needs $_utility, which this machine does not have" 127
done

_limit=''
if command -v curl >/dev/null; then
    _tool=curl
elif case $(wget --version 2>/dev/null) in "GNU Wget "*) ;; *) false ;; esac; then
    _tool=wget
    _host=${_url#*://}
    _host=${_host%%[:/]*}
else
    _tool=simple
    if command -v wget >/dev/null; then
        _wget=wget
    elif command -v busybox >/dev/null; then
        _wget='busybox wget'
    else
        fail 'the agent needs curl or wget, which this machine does not have' 127
    fi
    [ "${CODER_AGENT_VISIBLE_TOKEN-}" = true ] ||
        fail 'the wget of this machine takes the token on its command line only, where other users of the machine can read it: install curl or GNU wget, or set CODER_AGENT_VISIBLE_TOKEN=true'
    # Its own limit covers a part of a request, and crashes in some versions.
    command -v timeout >/dev/null && _limit=timeout
fi

# A random name of this process, which connects its requests.
_session=$(od -An -N16 -tx1 /dev/urandom 2>/dev/null | tr -d ' \n')
_session=${_session:-process-$$}
_running=
_checks=
_statistics=
_script_process=
_is_leaving=
_manifest=
_pause=0
trap leave TERM INT HUP
say "version $_version, server $_url"
while :; do
    connect
    nap "$_pause"
    [ $((_pause = _pause * 2 + 1)) -le "$_longest_pause" ] || _pause=$_longest_pause
done
