"""Requests that nobody would think of: mutated photos, and whatever the description allows or nearly allows.

The suite runs few of them, always the same; ``make fuzz`` runs as many as asked for.
"""
