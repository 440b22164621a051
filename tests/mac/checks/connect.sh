#!/bin/sh
# Clients' files, copies of yours, are written by mlxoss connect and become what they were.
set -u
. "$(dirname "$0")/../common.sh"

own_folder
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
yours=$HOME
home=$folder/home
mkdir "$home" || exit 1
unset MLXOSS_API_KEY CODEX_HOME PI_CODING_AGENT_DIR CLINE_DATA_DIR CLINE_DIR CONTINUE_GLOBAL_DIR
unset LLM_USER_PATH OPENCLAW_CONFIG_PATH OPENCLAW_STATE_DIR

copied=0
while read -r file; do
    [ -f "$yours/$file" ] || continue
    mkdir -p "$home/$(dirname "$file")"
    cp -p "$yours/$file" "$home/$file" || exit 1
    copied=$((copied + 1))
done <<'END'
.codex/config.toml
.config/opencode/opencode.json
.config/opencode/opencode.jsonc
.pi/agent/models.json
.pi/agent/settings.json
.config/crush/crush.json
.config/goose/config.yaml
.cline/data/settings/providers.json
.config/kilo/kilo.json
.openclaw/openclaw.json
.continue/config.yaml
Library/Application Support/io.datasette.llm/extra-openai-models.yaml
.config/zed/settings.json
Library/Application Support/Code/User/chatLanguageModels.json
.config/raycast/ai/providers.yaml
END

tree() { (cd "$home" && find . -exec ls -ld {} \; | awk '{print $1}' && find . -type f -exec cksum {} \; | sort); }

tree >"$folder/before"
written=0
refused=0
for name in codex opencode pi crush goose cline kilo openclaw continue llm zed vscode raycast; do
    if HOME=$home "$MLXOSS" connect "$name" --write >"$folder/said" 2>&1; then
        written=$((written + 1))
        tree >"$folder/after"
        cmp -s "$folder/before" "$folder/after" && wrong "$name: nothing was written"
        HOME=$home "$MLXOSS" connect "$name" --remove >"$folder/said" 2>&1 ||
            wrong "$name is not removed: $(cat "$folder/said")"
    else
        refused=$((refused + 1))
        echo "$name: $(cat "$folder/said")"
    fi
    tree >"$folder/after"
    cmp -s "$folder/before" "$folder/after" || wrong "$name: it is not what it was"
done
HOME=$home "$MLXOSS" connect vscode --dry-run | grep -q "Application Support/Code/User" ||
    [ "$(uname)" != Darwin ] || wrong "VS Code's file is looked for elsewhere"
"$MLXOSS" connect | grep installed
[ "$written" -gt 0 ] || wrong "no file could be written"
right "$copied files copied, $written clients written and removed, $refused left alone"
