#!/bin/sh
# The real launchd: install twice, restart under load, a kill, loops, stop, disable, uninstall.
set -u
. "$(dirname "$0")/../common.sh"

label=org.mlxoss.daemon
launchctl=${MLXOSS_LAUNCHCTL:-/bin/launchctl}
[ -x "$launchctl" ] || skip "there is no launchctl"
user=$(id -u)
plist=$HOME/Library/LaunchAgents/$label.plist
domain=gui/$user
"$launchctl" print "$domain" >/dev/null 2>&1 || domain=user/$user

# launchctl is never piped: it has been seen to hang then.
field() {
    "$launchctl" print "$domain/$label" >"$folder/printed.txt" 2>/dev/null || return 1
    sed -n "s/^$(printf '\t')$1 = //p" "$folder/printed.txt" | head -n 1
}
is_registered() { "$launchctl" print "$domain/$label" >/dev/null 2>&1; }
is_disabled() {
    "$launchctl" print-disabled "$domain" >"$folder/disabled.txt" 2>/dev/null
    grep -Eq "\"$label\" => (disabled|true)" "$folder/disabled.txt"
}
status_is() {
    "$MLXOSS" status >"$folder/status.txt" 2>&1
    [ $? -eq "$1" ]
}
is_anew() {
    now=$(health pid)
    [ -n "$now" ] && [ "$now" != "$pid" ]
}
run() { "$MLXOSS" "$@" >"$folder/said.txt" 2>&1; }
said() { tail -n 6 "$folder/said.txt" | tr '\n' ' '; }
must() { run "$@" || wrong "mlxoss $1 failed: $(said)"; }

for where in "gui/$user" "user/$user"; do
    for other in $label homebrew.mxcl.mlxoss; do
        "$launchctl" print "$where/$other" >/dev/null 2>&1 &&
            skip "the service is installed here already: mlxoss uninstall keeps all but the agent"
    done
done
[ ! -e "$plist" ] || skip "there is $plist already"

own_folder
clean_up() {
    rm -f "$folder/load"
    "$MLXOSS" uninstall --purge --yes >/dev/null 2>&1
    is_registered && "$launchctl" bootout "$domain/$label"
    rm -rf "$folder" "$plist"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

port=$(free_port)
must install --port "$port"
is_up || wrong "installed, and nothing answers at $port"
pid=$(health pid)
[ "$(field pid)" = "$pid" ] || wrong "launchd runs $(field pid), and $pid answers"
[ "$(field state)" = running ] || wrong "its state is $(field state)"
case "$(field 'spawn type')" in
interactive*) ;;
*) wrong "its spawn type is $(field 'spawn type'), not interactive: it would be slow" ;;
esac
[ "$(field 'exit timeout')" = 30 ] || wrong "its exit timeout is $(field 'exit timeout')"
right "installed and running in $domain, spawn type $(field 'spawn type')"

must install --port "$port"
[ "$(health pid)" = "$pid" ] || wrong "a second install started it anew"
right "a second install changes nothing"

wait_for 300 is_settled || wrong "it still loads after five minutes"
if [ "$(health status)" = ok ]; then
    : >"$folder/load"
    "$PYTHON" "$(dirname "$0")/../load.py" "$port" "$folder/load" >"$folder/counts.txt" &
    load=$!
    sleep 3
    must restart
    sleep 3
    rm -f "$folder/load"
    wait "$load" || wrong "answers were cut off by the restart: $(cat "$folder/counts.txt")"
    is_anew || wrong "restart left the old process"
    right "restarted under load: answers $(cat "$folder/counts.txt")"
else
    must restart
    wait_for 60 is_anew || wrong "restart left the old process"
    echo "restart under load cannot be tried, there is no model: $(health error)"
fi

pid=$(health pid)
kill -9 "$pid"
wait_for 60 is_anew || wrong "it was killed and did not come back"
right "killed, and back after launchd's pause; runs $(field runs)"

"$launchctl" bootout "$domain/$label" # answers before the process has gone
must start
wait_for 60 is_up || wrong "a start right after a bootout does not last"
right "started right after a bootout"

must stop
is_registered && wrong "stopped, and still registered"
[ -f "$plist" ] || wrong "stop took the agent's file away"
status_is 3 || wrong "status of a stopped service: $(cat "$folder/status.txt")"
must stop --disable
is_disabled || wrong "stop --disable left it enabled"
must start
wait_for 60 is_up || wrong "start after stop --disable does not run it"
is_disabled && wrong "start left it disabled"
right "stopped, disabled, and started again"

# A program that crashes at once: Python without its library ends with 1.
run install --env PYTHONHOME=/nonexistent && wrong "install says that a crashing service runs"
grep -q crashed "$folder/said.txt" || wrong "install does not tell of the crash: $(said)"
status_is 1 || status_is 3 || wrong "status of a crashing service: $(cat "$folder/status.txt")"
must install --env PYTHONHOME=
wait_for 60 is_up || wrong "mended after a crash loop, and it does not run"
right "a crash loop is told of, and ends once mended"

# A setting that starting again cannot help is no loop: it ends with 0, and launchd lets it be.
must stop
config=$("$MLXOSS" config path)
cp "$config" "$folder/config.kept"
echo 'max_batch = 0' >>"$config"
# The commands refuse such settings, so launchd itself is told to start it.
"$launchctl" bootstrap "$domain" "$plist" || wrong "launchctl bootstrap failed"
has_ended() { [ -n "$(field runs)" ] && [ "$(field runs)" != 0 ] && [ -z "$(field pid)" ]; }
wait_for 60 has_ended || wrong "it runs with settings that are wrong"
sleep 12
[ "$(field runs)" = 1 ] || wrong "it was started $(field runs) times with settings that are wrong"
run status
grep -q max_batch "$folder/said.txt" || wrong "status does not name the setting: $(said)"
cp "$folder/config.kept" "$config"
must start
wait_for 60 is_up || wrong "the setting is mended, and it does not run"
right "a wrong setting ends it once, and status names it"

remotely() {
    ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null localhost "$@"
}
if remotely true 2>/dev/null; then
    remotely "MLXOSS_HOME='$MLXOSS_HOME' '$MLXOSS' status" \
        >"$folder/said.txt" 2>&1 || wrong "status over SSH: $(said)"
    right "status over SSH finds it"
else
    echo "SSH cannot be tried: Remote Login is off, or has no key of this user"
fi

must uninstall --purge --yes
for where in "gui/$user" "user/$user"; do
    "$launchctl" print "$where/$label" >/dev/null 2>&1 && wrong "uninstalled, and still in $where"
done
[ ! -e "$plist" ] || wrong "uninstall left $plist"
is_disabled && wrong "uninstall left it disabled"
left=$(find "$folder" -mindepth 1 ! -name '*.txt' ! -name config.kept)
[ -z "$left" ] || wrong "uninstall --purge left $left"
right "uninstall leaves nothing"
