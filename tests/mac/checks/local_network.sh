#!/bin/sh
# Does a launch agent get to another Mac, HOST (an address), to which this terminal gets?
set -u
. "$(dirname "$0")/../common.sh"

launchctl=${MLXOSS_LAUNCHCTL:-/bin/launchctl}
[ -x "$launchctl" ] || skip "there is no launchctl"
[ -n "${HOST:-}" ] || skip "name another Mac of this network: HOST=192.168.0.2"
own_folder
label=org.mlxoss.check.$$
domain=gui/$(id -u)
"$launchctl" print "$domain" >/dev/null 2>&1 || domain=user/$(id -u)
clean_up() {
    "$launchctl" bootout "$domain/$label" >/dev/null 2>&1
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# What mlxoss's own try finds, run by the Python that the daemon is run by.
cat >"$folder/try.py" <<'END'
import sys
from mlxoss.cluster.reach import try_hosts
from mlxoss.hosts import Host
(tried,) = try_hosts([Host(1, "other", (sys.argv[1],))]).tried
print("reached" if tried.why is None else tried.why)
END
here=$("$PYTHON" "$folder/try.py" "$HOST") || wrong "mlxoss cannot be asked"
[ "$here" = reached ] || skip "this terminal does not get to $HOST either: $here"

"$PYTHON" - "$folder" "$label" "$PYTHON" "$HOST" <<'END'
import plistlib, sys
folder, label, python, host = sys.argv[1:]
job = {
    "Label": label,
    "ProgramArguments": [python, f"{folder}/try.py", host],
    "RunAtLoad": True,
    "LimitLoadToSessionType": ["Aqua", "Background"],
    "StandardOutPath": f"{folder}/found.txt",
    "StandardErrorPath": f"{folder}/errors.txt",
}
with open(f"{folder}/{label}.plist", "wb") as file:
    plistlib.dump(job, file)
END
chmod 644 "$folder/$label.plist"
"$launchctl" bootstrap "$domain" "$folder/$label.plist" || wrong "launchctl bootstrap failed"
has_found() { [ -s "$folder/found.txt" ]; }
wait_for 60 has_found || wrong "the agent found nothing: $(cat "$folder/errors.txt")"
there=$(cat "$folder/found.txt")
if [ "$there" = reached ]; then
    right "this terminal and a launch agent get to $HOST"
else
    right "a launch agent does not get to $HOST, to which this terminal gets: $there"
    echo "macOS $(sw_vers -productVersion 2>/dev/null): allow it in System Settings > Privacy & Security > Local Network"
fi
