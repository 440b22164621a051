"""The Responses API's words for tools that this server runs itself."""
