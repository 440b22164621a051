#!/bin/sh
# What only a Mac can show, tried and told in one report. tests/mac/README.md says more.
set -u

usage() {
    cat <<'END'
Usage: tests/mac/check.sh [--list] [--long] [--without TOPIC,TOPIC...] [TOPIC...]

  Runs the checks of these topics, or all that are not long, and prints a report.
  Exit status 1 if anything is wrong.

  --list     name the topics
  --long     those that take hours or a person, too
  --without  none of these

Variables: MLXOSS, the command to try (else that on the PATH); PYTHON, its interpreter.
END
}

fail() {
    echo "check.sh: $*" >&2
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd) || exit 2
with_long=no
without=
topics=
is_list=no
while [ $# -gt 0 ]; do
    case $1 in
    --list) is_list=yes ;;
    --long) with_long=yes ;;
    --without)
        [ $# -gt 1 ] || fail "--without needs topics"
        without=$(echo "$2" | tr ',' ' ')
        shift
        ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
    *) topics="$topics $1" ;;
    esac
    shift
done

# The first words of a check say what it is about; "Long: " begins those of a long one.
about() { sed -n '2s/^# //p' "$here/checks/$1.sh"; }

is_long() {
    case $(about "$1") in
    "Long: "*) return 0 ;;
    esac
    return 1
}

is_left_out() {
    for name in $without; do
        [ "$name" = "$1" ] && return 0
    done
    return 1
}

all_topics() {
    for file in "$here"/checks/*.sh; do
        basename "$file" .sh
    done
}

if [ "$is_list" = yes ]; then
    for topic in $(all_topics); do
        printf '%-16s%s\n' "$topic" "$(about "$topic")"
    done
    exit 0
fi

for topic in $topics $without; do
    [ -f "$here/checks/$topic.sh" ] || fail "there is no topic $topic (see --list)"
done
if [ -z "$topics" ]; then
    for topic in $(all_topics); do
        { [ "$with_long" = no ] && is_long "$topic"; } || topics="$topics $topic"
    done
fi

MLXOSS=${MLXOSS:-$(command -v mlxoss)} || fail "no mlxoss on the PATH: name the command in MLXOSS"
[ -x "$MLXOSS" ] || fail "MLXOSS is no command: $MLXOSS"
# The interpreter that the command itself runs on, so that both see the same packages.
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$(sed -n '1s/^#! *\(\/[^ ]*python[^ ]*\).*/\1/p' "$MLXOSS" 2>/dev/null)
    [ -x "$PYTHON" ] || PYTHON=$(dirname "$MLXOSS")/python
fi
[ -x "$PYTHON" ] || PYTHON=$(command -v "$PYTHON") || fail "PYTHON is no command: $PYTHON"
export MLXOSS PYTHON

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

run() {
    # The output is shown as it comes and kept; stdin stays the terminal, for checks that ask.
    { sh "$here/checks/$1.sh" && echo 0 >"$work/status" || echo $? >"$work/status"; } 2>&1 |
        tee "$work/said" >&2
    cat "$work/status"
}

"$PYTHON" "$here/machine.py" >"$work/machine" || fail "$PYTHON does not run"
wrong=0
: >"$work/table"
: >"$work/details"
for topic in $topics; do
    is_left_out "$topic" && continue
    echo "--- $topic" >&2
    began=$(date +%s)
    case $(run "$topic") in
    0) verdict=right ;;
    77) verdict="not tried" ;;
    *)
        verdict=WRONG
        wrong=$((wrong + 1))
        ;;
    esac
    echo "| $topic | $verdict | $(($(date +%s) - began)) |" >>"$work/table"
    {
        printf '\n## %s: %s\n\n' "$topic" "$verdict"
        # Four spaces make a block of code that no line in it can end.
        tail -n 100 "$work/said" | sed 's/^/    /'
    } >>"$work/details"
done

{
    printf '# mlxoss on this machine\n\n'
    cat "$work/machine"
    printf '\n| check | result | seconds |\n|---|---|---|\n'
    cat "$work/table" "$work/details"
} | "$PYTHON" "$here/private.py"
[ "$wrong" -eq 0 ]
