"""The grammar of a turn: what a request allows, compiled, and followed token by token."""
