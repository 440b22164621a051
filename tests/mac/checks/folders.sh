#!/bin/sh
# Models and settings where macOS lets no service read (Documents, a volume): what an agent can read, what is said.
set -u
: "${MLXOSS:?the command}" "${PYTHON:?its interpreter}"

. "$(dirname "$0")/../common.sh"

label=org.mlxoss.daemon
probe=org.mlxoss.check.folders
launchctl=${MLXOSS_LAUNCHCTL:-/bin/launchctl}
[ -x "$launchctl" ] || skip "there is no launchctl"
plist=$HOME/Library/LaunchAgents/$label.plist
domain=gui/$(id -u)
"$launchctl" print "$domain" >/dev/null 2>&1 || domain=user/$(id -u)
[ ! -e "$plist" ] || skip "there is $plist already"
"$launchctl" print "$domain/$label" >/dev/null 2>&1 && skip "the service runs here already"

unset XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME XDG_STATE_HOME MLXOSS_CONFIG MLXOSS_PORT
unset HF_HOME HF_HUB_CACHE
folder=$(mktemp -d "$HOME/mlxoss-check.XXXXXX") || exit 1
MLXOSS_HOME=$folder/own
export MLXOSS_HOME
name=mlxoss-check-$$
documents=$HOME/Documents/$name
volume=/Volumes/$name
disk=
undo() {
    "$MLXOSS" uninstall >/dev/null 2>&1
    "$launchctl" bootout "$domain/$probe" >/dev/null 2>&1
    # Only what this made: no volume that could not be unmounted is emptied.
    [ -z "$disk" ] || hdiutil detach "$disk" -force >/dev/null 2>&1
    rm -rf "$documents" "$folder" "$plist"
}
trap undo EXIT
trap 'exit 130' HUP INT TERM

port=$("$PYTHON" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
model=$("$PYTHON" -c 'import sys; from pathlib import Path; from mlxoss.demo import expand_demo
print(expand_demo(Path(sys.argv[1])))' "$folder") || wrong "the demo's checkpoint cannot be made"

# What an agent of this very Python may do in a folder: read a file, list it, write there.
agent_may() {
    rm -f "$folder/may.txt"
    "$PYTHON" - "$1" "$folder" "$probe" <<'END' || return 1
import os, plistlib, sys
there, folder, label = sys.argv[1:]
asked = """
import os, sys
def tell(what, do):
    try:
        do()
        print(what, "yes", end="; ")
    except OSError as error:
        print(what, "no:", error.strerror, end="; ")
there = sys.argv[1]
tell("read", lambda: open(there + "/config.json").read(1))
tell("list", lambda: os.listdir(there))
tell("write", lambda: open(there + "/written", "w").close())
print("done", flush=True)
"""
keys = {
    "Label": label,
    "ProgramArguments": [sys.executable, "-c", asked, there],
    "RunAtLoad": True,
    "LimitLoadToSessionType": ["Aqua", "Background"],
    "StandardOutPath": folder + "/may.txt",
    "StandardErrorPath": folder + "/may.err",
}
with open(f"{folder}/{label}.plist", "wb") as file:
    plistlib.dump(keys, file)
os.chmod(file.name, 0o644)
END
    "$launchctl" bootstrap "$domain" "$folder/$probe.plist" || return 1
    left=60
    until grep -q done "$folder/may.txt" 2>/dev/null; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || break
        sleep 1
    done
    "$launchctl" bootout "$domain/$probe" >/dev/null 2>&1
    sleep 1
    rm -f "$1/written"
    grep -q done "$folder/may.txt" 2>/dev/null
}

# try_folder FOLDER: with a model in it.
try_folder() {
    agent_may "$1" || echo "an agent in $1 says nothing (it may wait for a person to answer a question)"
    echo "an agent may in $1: $(cat "$folder/may.txt" "$folder/may.err" 2>/dev/null)"
    "$MLXOSS" install --model "$1" --port "$port" >"$folder/said.txt" 2>&1
    code=$?
    grep -q "Warning: folders: model $1: it lies in" "$folder/said.txt" ||
        wrong "install does not warn of $1: $(cat "$folder/said.txt")"
    grep -q 'models pull' "$folder/said.txt" && wrong "a model in $1 is to be pulled again"
    if [ "$code" -eq 0 ]; then
        right "the service serves from $1: it is allowed to"
    elif grep -q 'did not answer' "$folder/said.txt"; then
        echo "the service waits: macOS may ask on the screen whether it may read $1"
    else
        grep -q 'Privacy & Security' "$folder/said.txt" ||
            wrong "install fails, and does not name the settings: $(cat "$folder/said.txt")"
        if ! grep -q 'it refused to start' "$folder/said.txt"; then
            echo "not refused by the daemon, but: $(grep 'does not run' "$folder/said.txt")"
        fi
        right "install: $(grep 'does not run' "$folder/said.txt")"
    fi
    "$MLXOSS" uninstall >/dev/null 2>&1
    [ ! -e "$plist" ] || wrong "uninstall left $plist"
}

mkdir -p "$documents" && cp -R "$model/." "$documents" || skip "this terminal may not write to ~/Documents"
try_folder "$documents"

command -v hdiutil >/dev/null || skip "the rest: there is no hdiutil, so no volume"
hdiutil create -quiet -size 200m -fs APFS -volname "$name" "$folder/disk.dmg" || skip "no disk image can be made"
hdiutil attach -quiet -nobrowse "$folder/disk.dmg" || skip "no disk image can be mounted"
disk=$volume
[ -d "$volume" ] || wrong "the disk image is not at $volume"
mkdir "$volume/model" && cp -R "$model/." "$volume/model" || wrong "$volume cannot be written to"
try_folder "$volume/model"

ln -s "$MLXOSS" "$volume/mlxoss"
"$volume/mlxoss" install --port "$port" >"$folder/said.txt" 2>&1 && wrong "a program on a volume is taken"
grep -q "$volume, which macOS closes to background services" "$folder/said.txt" ||
    wrong "of a program on a volume is said: $(cat "$folder/said.txt")"
right "a program on a volume is refused"

MLXOSS_HOME=$volume/own "$MLXOSS" install --port "$port" >"$folder/said.txt" 2>&1 &&
    wrong "a working folder on a volume is taken"
grep -q 'which macOS closes to launchd' "$folder/said.txt" ||
    wrong "of a working folder on a volume is said: $(cat "$folder/said.txt")"
right "a working folder on a volume is refused"

# Why: what launchd makes of a job whose log is there.
"$PYTHON" - "$volume" "$folder/$probe.plist" "$probe" <<'END'
import os, plistlib, sys
volume, plist, label = sys.argv[1:]
keys = {"Label": label, "ProgramArguments": ["/usr/bin/true"], "RunAtLoad": True}
keys |= {"StandardErrorPath": volume + "/log", "LimitLoadToSessionType": ["Aqua", "Background"]}
with open(plist, "wb") as file:
    plistlib.dump(keys, file)
os.chmod(plist, 0o644)
END
"$launchctl" bootstrap "$domain" "$folder/$probe.plist" && sleep 3
"$launchctl" print "$domain/$probe" >"$folder/printed.txt" 2>/dev/null
echo "a job with its log on a volume ends with: $(sed -n 's/.*last exit code = //p' "$folder/printed.txt" | head -n 1)"
