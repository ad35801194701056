"""Work that costs minutes, kept on the disk until its file is verified: what a clip was half-way.

    identity.py     what a job is known by
    settings.py     where it lies, how much there may be, how often it is written
    record.py       what is written down of a job
    store.py        the folder of all jobs: found, locked, removed, room made
    keeper.py       what is worth keeping of one job, written and found again (torch)

Knows no command and no stage's inside.
"""
