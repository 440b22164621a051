"""One model on several machines: rank 0 serves and decides, the others compute what it says.

Every rank holds a part of each layer and steps the same batch in the same order; MLX adds up
what the parts computed. What is to be computed travels as small messages on a connection of our
own, since a rank that waits inside MLX's ring takes a quarter of a core and never gives up on one
that is stopped.
"""
