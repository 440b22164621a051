#!/bin/sh
# The formula: tapped from this checkout, then style, audit, install, test, service and upgrade.
set -u
. "$(dirname "$0")/../common.sh"

root=$(cd "$(dirname "$0")/../../.." && pwd)
tap=mlxoss-check/mlxoss
export HOMEBREW_NO_AUTO_UPDATE=1 HOMEBREW_NO_INSTALL_CLEANUP=1 HOMEBREW_NO_ENV_HINTS=1
export HOMEBREW_NO_INSTALLED_DEPENDENTS_CHECK=1 HOMEBREW_NO_AUTOREMOVE=1

command -v brew >/dev/null || skip "there is no Homebrew here"
git -C "$root" rev-parse --quiet --verify HEAD >/dev/null || skip "$root is no clone: a tap is one"
[ -z "$(brew list --versions mlxoss)" ] || skip "Homebrew has an mlxoss already: brew uninstall mlxoss"
brew tap | grep -qx "$tap" && skip "there is a tap $tap already: brew untap $tap"

folder=$(mktemp -d "$HOME/mlxoss-check.XXXXXX") || exit 1
installed=$(brew --prefix)/opt/mlxoss/bin/mlxoss
data=
undo() {
    brew services stop mlxoss >/dev/null 2>&1
    [ -z "$data" ] || [ ! -x "$installed" ] || "$installed" uninstall --purge --yes >/dev/null 2>&1
    [ -z "$(brew list --versions mlxoss)" ] || brew uninstall --force mlxoss >/dev/null 2>&1
    brew untrust "$tap" >/dev/null 2>&1
    brew untap --force "$tap" >/dev/null 2>&1
    # What was installed with it, Python for one, goes too.
    brew list --formula -1 >"$folder/after"
    grep -vxFf "$folder/before" "$folder/after" | while read -r name; do
        brew uninstall --ignore-dependencies "$name" >/dev/null 2>&1
    done
    rm -rf "$folder"
}
brew list --formula -1 >"$folder/before"
# Greps differ about a list without a line.
[ -s "$folder/before" ] || echo "(none)" >"$folder/before"
trap undo EXIT
trap 'exit 130' INT TERM

# try WORDS...: with its output only where it fails.
try() {
    "$@" >"$folder/said" 2>&1 || {
        tail -n 40 "$folder/said"
        wrong "$*"
    }
}

is_well() { "$installed" status >/dev/null 2>&1; }

says_version() { [ "$("$installed" --version)" = "mlxoss $1" ] || wrong "it says $("$installed" --version), not $1"; }

# A tap is cloned from a branch; a checkout may have none.
try git clone --quiet "$root" "$folder/clone"
try git -C "$folder/clone" checkout --quiet -B main
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$folder/clone/mlxoss/__init__.py")
try brew tap "$tap" "$folder/clone"
# Older Homebrews trust every tap.
brew trust "$tap" >/dev/null 2>&1
right "tapped from $(git -C "$root" rev-parse --short HEAD) by $(brew --version | head -n 1)"

try brew style "$tap/mlxoss"
try brew audit --formula --strict "$tap/mlxoss"
right "style and audit find nothing"

began=$(date +%s)
try brew install --formula "$tap/mlxoss"
right "installed in $(($(date +%s) - began)) s: $(brew info mlxoss | grep -m1 files)"
says_version "$version"
try brew test "$tap/mlxoss"
right "brew test passes"

agent=$HOME/Library/LaunchAgents/org.mlxoss.daemon.plist
with_service=no
if ! command -v launchctl >/dev/null || [ -e "$agent" ]; then
    echo "the service is not tried: there is no launchd, or it has an mlxoss already"
else
    with_service=yes
    # Its settings and store are where every service's are; they go if they were not there before.
    [ -e "$(dirname "$("$installed" config path)")" ] || data=new
    try brew services start mlxoss
    wait_for 300 is_well || wrong "the service does not get well: $("$installed" status)"
    "$installed" status | head -n 3
    right "brew services start: it serves"
fi

for file in mlxoss/__init__.py Formula/mlxoss.rb; do
    sed "s/\"$version\"/\"$version.1\"/" "$folder/clone/$file" >"$folder/new"
    cp "$folder/new" "$folder/clone/$file"
done
try git -C "$folder/clone" -c user.name=check -c user.email=check@localhost commit --quiet -am "$version.1"
# What `brew update` does with a tap, without all others.
try git -C "$(brew --repository "$tap")" pull --quiet --ff-only
brew outdated --formula | grep -q mlxoss || wrong "brew outdated does not name it"
try brew upgrade "$tap/mlxoss"
says_version "$version.1"
right "brew upgrade: from $version to $version.1"

if [ "$with_service" = yes ]; then
    try brew services restart mlxoss
    wait_for 300 is_well || wrong "after the upgrade the service does not get well: $("$installed" status)"
    try brew services stop mlxoss
    ! launchctl print "gui/$(id -u)/org.mlxoss.daemon" >/dev/null 2>&1 || wrong "launchd still has it"
    [ ! -e "$agent" ] || wrong "$agent is still there"
    [ -z "$data" ] || try "$installed" uninstall --purge --yes
    data=
    right "brew services restart and stop"
fi

# Homebrew then reads the formula's copy in the installation, without the tap beside it.
try brew untap --force "$tap"
try brew uninstall mlxoss
[ ! -e "$(brew --cellar)/mlxoss" ] || wrong "$(brew --cellar)/mlxoss is still there"
right "uninstalled, after its tap was gone"
