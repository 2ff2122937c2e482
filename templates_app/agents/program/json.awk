# Reads JSON. Prints a line for each value but null: its path, a tab, and the value, in which `printf %b` restores control
# characters, backslashes and characters that were escaped. Reads records between quotes, so that strings of any length
# take linear time. What is no escape of JSON is refused, because it could be one of `printf`.
function fail() { failed = 1; exit 1 }
function path(    i, text) {
    text = key[1]
    for (i = 2; i <= depth; i++) text = text "." key[i]
    return text
}
function open(what) {
    if (++depth > 64) fail()
    kind[depth] = what
    key[depth] = what == "array" ? 0 : ""
    is_key = what == "object"
}
function structure(text,    i, n, c, word) {
    gsub(/[ \t\r\n]/, "", text)
    n = length(text)
    for (i = 1; i <= n; i++) {
        c = substr(text, i, 1)
        if (c == "{") open("object")
        else if (c == "[") open("array")
        else if (c == "}" || c == "]") { if (depth-- < 1) fail(); is_key = 0 }
        else if (c == "," && kind[depth] == "array") key[depth]++
        else if (c == ",") is_key = 1
        else if (c == ":") is_key = 0
        else {
            word = ""
            while (i <= n && index(",:{}[]", c = substr(text, i, 1)) == 0) { word = word c; i++ }
            i--
            if (word !~ /^(true|false|null|-?[0-9][0-9.eE+-]*)$/) fail()
            if (word != "null") printf "%s\t%s\n", path(), word
        }
    }
}
function number(digits,    i, value, digit) {
    for (i = 1; i <= 4; i++) {
        digit = index("0123456789abcdef", tolower(substr(digits, i, 1)))
        if (substr(digits, i, 1) == "" || digit == 0) fail()
        value = value * 16 + digit - 1
    }
    return value
}
function byte(value) { printf "\\0%03o", value }
function character(code) {
    if (code == 0 || (code >= 55296 && code <= 57343)) code = 65533
    if (code < 128) byte(code)
    else if (code < 2048) { byte(192 + int(code / 64)); byte(128 + code % 64) }
    else {
        if (code < 65536) byte(224 + int(code / 4096))
        else { byte(240 + int(code / 262144)); byte(128 + int(code / 4096) % 64) }
        byte(128 + int(code / 64) % 64)
        byte(128 + code % 64)
    }
}
function plain(text,    i, n, pieces) {
    if (text ~ /\\[^bfnrt]/ || text ~ /\\$/) fail()
    n = split(text, pieces, "\001")
    for (i = 1; i <= n; i++) printf "%s%s", (i > 1 ? "\\0134" : ""), pieces[i]
}
function show(text,    i, n, pieces, code, low, rest) {
    gsub(/[\001-\037]/, "", text)
    gsub(/\\\\/, "\001", text)
    gsub(/\\\//, "/", text)
    n = split(text, pieces, /\\u/)
    if (n > 0) plain(pieces[1])
    for (i = 2; i <= n; i++) {
        code = number(pieces[i])
        rest = substr(pieces[i], 5)
        if (code >= 55296 && code < 56320 && rest == "" && i < n) {
            low = number(pieces[i + 1])
            if (low >= 56320 && low < 57344) {
                code = 65536 + (code - 55296) * 1024 + low - 56320
                rest = substr(pieces[++i], 5)
            }
        }
        character(code)
        plain(rest)
    }
}
BEGIN { RS = "\"" }
!is_inside { structure($0); is_inside = is_new = 1; next }
{
    is_open = match($0, /\\+$/) && RLENGTH % 2 == 1
    piece = is_open ? substr($0, 1, length($0) - 1) : $0
    if (is_new) {
        names = is_key && kind[depth] == "object"
        name = ""
        if (!names) printf "%s\t", path()
    }
    if (names) { gsub(/[\001-\037]/, "", piece); name = name piece (is_open ? "\"" : "") }
    else { show(piece); if (is_open) printf "\"" }
    is_new = 0
    if (!is_open) {
        if (names) key[depth] = name
        else printf "\n"
        is_inside = 0
    }
}
END { exit failed || !is_new || depth != 0 }
