#!/bin/sh
# The plugin of `mlxoss menubar` as SwiftBar runs it: a running server, an unloaded one, none.
set -u
. "$(dirname "$0")/../common.sh"

own_folder
clean_up() {
    stop_server
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

plugin="$folder/plug ins/mlxoss.10s.sh"
mkdir "$folder/plug ins" || exit 1
"$MLXOSS" menubar >"$plugin" || wrong "mlxoss menubar failed"
chmod +x "$plugin"
sh -n "$plugin" || wrong "the plugin is no sound shell"

# With nothing of this shell's but what launchd gives to programs; the port is this check's.
run() { env -i HOME="$HOME" PATH=/usr/bin:/bin MLXOSS_PORT="$port" "$plugin" "$@"; }
bar() { run | head -n 1; }

serve ""
[ "$(bar)" = "mlxoss ●" ] || wrong "of a server that waits it shows: $(bar)"
run | grep -q "^Open the page | href=http://127.0.0.1:$port/" || wrong "no page: $(run)"
run unload >/dev/null || wrong "its item does not unload the model"
[ "$(bar)" = "mlxoss ◌" ] || wrong "of an unloaded model it shows: $(bar)"
run load >/dev/null || wrong "its item does not load the model"
[ "$(bar)" = "mlxoss ●" ] || wrong "of a model that is back it shows: $(bar)"
begun=$("$PYTHON" -c 'import time; print(time.time())')
run >/dev/null
right "it shows the server, unloads and loads its model, and takes $("$PYTHON" -c "import time; print(f'{time.time() - $begun:.2f} s')")"
stop_server
[ "$(bar)" = "mlxoss ○" ] || wrong "without a server it shows: $(bar)"
right "without a server it says so"
