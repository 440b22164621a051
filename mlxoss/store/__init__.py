"""The response store: what has to outlive a request, and a restart.

``opening`` is the way in, ``store`` what can be done, ``values`` what goes in and
comes out.
"""
