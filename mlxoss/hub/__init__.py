"""Models on the Hugging Face Hub and in its cache on this machine.

A pull leaves two things: the model's files in the Hugging Face cache, every weight
checked against its hash, and the commit they belong to in the record of pins.
"""
