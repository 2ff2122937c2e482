# ---------------------------------------------------------------------- JSON
# shellcheck disable=SC2016 # a program of awk
_parser='@PARSER@'

# Set `_facts` to the lines of a JSON text. False if it is none.
parse() {
    _facts=$(printf '%s' "$1" | awk "$_parser" 2>/dev/null)
}

# Set `_value` to the text that the parser printed.
restore() {
    _value=$(printf '%b.' "$1")
    _value=${_value%.}
}

# Set `_value` to the value at a path of `_facts`, empty if there is none. Shells take quadratic time for long texts.
lookup() {
    _value=$(
        printf '%s\n' "$_facts" |
            awk -v path="$1" 'index($0, path "\t") == 1 { print substr($0, length(path) + 2) }'
    )
    restore "$_value"
}

# Set `_value` to a number between two bounds: the value at a path of `_facts`, the lower bound if it is none.
lookup_number() {
    lookup "$1"
    case $_value in
        '' | *[!0-9]*) _value=$2 ;;
        ??????????*) _value=$3 ;;
    esac
    _value=${_value#"${_value%%[!0]*}"}
    _value=${_value:-0}
    [ "$_value" -ge "$2" ] || _value=$2
    [ "$_value" -le "$3" ] || _value=$3
}

# Set `_value` to whole seconds, at most a year: the nanoseconds at a path of `_facts`, 0 if there are none.
lookup_seconds() {
    lookup "$1"
    case $_value in
        '' | *[!0-9]* | 0) _value=0 ;;
        ??????????????????*) _value=31536000 ;;
        ??????????*) _value=${_value%?????????} ;;
        *) _value=1 ;;
    esac
    [ "$_value" -le 31536000 ] || _value=31536000
}
