"""The always-on service: one description of it, and the two service managers that keep it up.

``spec`` says what runs, ``plist`` and ``unit`` render it, ``launchd`` and ``systemd``
speak to the manager, ``manager`` holds the sequences that are safe to repeat.
"""
