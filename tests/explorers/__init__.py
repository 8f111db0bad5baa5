"""Explorers: seeded histories of faults, pairs of stack files, killed commands, each followed by one ``overlab up``.

They run on a lab of node containers of their own, for as long as they are let; what they find is in ``build/explore``.
"""
