"""Clients that are set up in their own dialogues: what to type there."""

from __future__ import annotations

BY_HAND = {
    "xcode": (
        "Xcode: Intelligence",
        ["Xcode"],
        """
# Xcode 26 or newer: Settings > Intelligence > Add a Model Provider
# On this Mac: Locally Hosted
#   Port: @PORT@
# With a key, or on another machine: Internet Hosted
#   URL: @URL@
#   API Key: @KEY@
#   API Key Header: x-api-key
# Then choose @MODEL@ in the coding assistant.
""",
    ),
    "jetbrains": (
        "JetBrains' AI Assistant",
        [],
        """
# Settings > Tools > AI Assistant > Models & API keys > Third-party AI providers
#   Provider: OpenAI-compatible
#   URL: @BASE@
#   API Key: @KEY@
#   Tool calling: on
# Then choose @MODEL@ under Model assignment; its context window has @CONTEXT@ tokens.
""",
    ),
    "roo": (
        "Roo Code, Kilo Code and Cline in VS Code",
        [],
        """
# Settings > Providers, in the extension's own page
#   API Provider: OpenAI Compatible
#   Base URL: @BASE@
#   API Key: @KEY@
#   Model: @MODEL@
#   Context Window Size: @CONTEXT@
#   Max Output Tokens: @ANSWER@
#   Image Support: off
""",
    ),
    "home-assistant": (
        "Home Assistant, by an integration of its community",
        [],
        """
# Home Assistant's own OpenAI integration has no setting for the address. "Local OpenAI LLM", from
# HACS, has: Settings > Devices & services > Add integration
#   Server URL: @BASE@
#   API Key: @KEY@
#   Model: @MODEL@
# Where Home Assistant runs on another machine, the server has to let it in: host, and a key.
""",
    ),
}
"""By the names that are typed: what it is, its applications on a Mac, and the recipe."""
