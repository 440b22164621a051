#!/bin/sh
# Commands look where launchd's daemon looks, with XDG variables in the shell and Homebrew's service without them.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"

. "$(dirname "$0")/../common.sh"

label=org.mlxoss.daemon
probe=org.mlxoss.check.xdg
launchctl=${MLXOSS_LAUNCHCTL:-/bin/launchctl}
[ -x "$launchctl" ] || skip "there is no launchctl"
agents=$HOME/Library/LaunchAgents
plist=$agents/$label.plist
domain=gui/$(id -u)
"$launchctl" print "$domain" >/dev/null 2>&1 || domain=user/$(id -u)
[ ! -e "$plist" ] || skip "there is $plist already"
"$launchctl" print "$domain/$label" >/dev/null 2>&1 && skip "the service runs here already"

unset XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME XDG_STATE_HOME MLXOSS_CONFIG MLXOSS_PORT
unset MLXOSS_HOME HF_HOME HF_HUB_CACHE
folder=$(mktemp -d) || exit 1
had_agents=yes
[ -d "$agents" ] || had_agents=no
undo() {
    "$launchctl" bootout "$domain/$probe" >/dev/null 2>&1
    rm -f "$plist"
    [ "$had_agents" = yes ] || rmdir "$agents" 2>/dev/null
    rm -rf "$folder"
}
trap undo EXIT
trap 'exit 130' HUP INT TERM
mkdir -p "$agents"

# As `brew services` writes it: all sessions, and an environment that is a PATH.
"$PYTHON" - "$MLXOSS" "$plist" "$label" "$folder/$probe.plist" "$probe" "$folder/there.txt" <<'END'
import os, plistlib, sys
command, plist, label, probe_plist, probe, out = sys.argv[1:]
keys = {
    "Label": label,
    "ProgramArguments": [command, "serve"],
    "EnvironmentVariables": {"PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
    "LimitLoadToSessionType": ["Aqua", "Background", "LoginWindow", "StandardIO", "System"],
}
asked = "from mlxoss import paths; [print(n, p, sep='=') for n, p in paths.folders(dict(__import__('os').environ)).items()]"
probing = {
    **keys,
    "Label": probe,
    "ProgramArguments": [sys.executable, "-c", asked],
    "RunAtLoad": True,
    "StandardOutPath": out,
    "StandardErrorPath": out + ".err",
}
for path, content in ((plist, keys), (probe_plist, probing)):
    with open(path, "wb") as file:
        plistlib.dump(content, file)
    os.chmod(path, 0o644)
END

# Where launchd's own process looks, with that environment.
"$launchctl" bootstrap "$domain" "$folder/$probe.plist" || skip "launchctl bootstrap failed"
left=60
until grep -q '^models=' "$folder/there.txt" 2>/dev/null; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || wrong "the agent says nothing: $(cat "$folder/there.txt.err" 2>/dev/null)"
    sleep 1
done
there=$(sed -n 's/^settings=//p' "$folder/there.txt")

# This shell is a friend of dotfiles.
XDG_CONFIG_HOME=$folder/config XDG_DATA_HOME=$folder/data XDG_CACHE_HOME=$folder/cache
HF_HOME=$folder/hf
export XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME HF_HOME
here=$("$MLXOSS" config path 2>"$folder/note.txt")
[ "$here" = "$there" ] || wrong "the service reads $there, mlxoss config changes $here"
grep -q "this shell would read $folder/config" "$folder/note.txt" ||
    wrong "nothing tells of the difference: $(cat "$folder/note.txt")"
right "the service and mlxoss config both have $here"
"$MLXOSS" key list >/dev/null || wrong "mlxoss key list failed"
[ ! -e "$folder/data" ] || wrong "mlxoss key looks in the shell's $folder/data"
"$MLXOSS" doctor --json >"$folder/doctor.json" 2>/dev/null
"$PYTHON" - "$folder/doctor.json" <<'END' || exit 1
import json, sys
found = {check["name"]: check for check in json.load(open(sys.argv[1]))}.get("variables", {})
if found.get("level") != "warn" or "XDG_CONFIG_HOME" not in found["detail"]:
    sys.exit(f"WRONG: doctor finds nothing in the variables: {found}")
print("right: doctor:", found["detail"])
END
