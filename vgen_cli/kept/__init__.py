"""Work that costs minutes, kept on the disk until its file is verified: what a clip was half-way.

    identity.py     what a job is known by

Knows no command and no stage's inside.
"""
