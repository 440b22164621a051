#!/bin/sh
# Long: the service comes back by itself after you log out and in; run it once before, once after.
set -u
. "$(dirname "$0")/../common.sh"

label=org.mlxoss.daemon
kept=$HOME/.mlxoss-check-login
launchctl=${MLXOSS_LAUNCHCTL:-/bin/launchctl}
[ -x "$launchctl" ] || skip "there is no launchctl"

if [ ! -f "$kept" ]; then
    [ ! -e "$HOME/Library/LaunchAgents/$label.plist" ] ||
        skip "the service is installed here already: mlxoss uninstall keeps all but the agent"
    go_on "Install the service, to be looked at after you have logged out and in?" ||
        skip "nobody is here to log out and in"
    own_folder
    port=$(free_port)
    "$MLXOSS" install --port "$port" || wrong "mlxoss install failed"
    printf '%s\n%s\n%s\n' "$MLXOSS_HOME" "$port" "$(health pid)" >"$kept"
    skip "log out and in now (or restart the Mac), then: tests/mac/check.sh login"
fi

{
    read -r MLXOSS_HOME
    read -r port
    read -r before
} <"$kept"
export MLXOSS_HOME
folder=$MLXOSS_HOME
[ "$(health pid)" != "$before" ] || skip "it is the process of before: log out and in first"
trap '"$MLXOSS" uninstall --purge --yes >/dev/null 2>&1; rm -rf "$folder" "$kept"' EXIT
wait_for 60 is_up || wrong "after the login nothing answers at $port: $("$MLXOSS" status)"
"$launchctl" print "gui/$(id -u)/$label" >"$folder/printed.txt" 2>&1 ||
    wrong "it runs, but not in the desktop's domain"
right "after a login it runs again, in gui/$(id -u), since $(ps -o lstart= -p "$(health pid)")"
