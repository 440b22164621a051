"""What runs inside the sandbox: one process for each container.

It is started by the base interpreter without anybody's packages, so it imports the standard library
and itself alone. All of it that matters for safety is done before a cell is read (``main``).
"""
