"""Weights from the hub: what a model needs of it, what of that is on this disk, fetching it and letting it go.

    cache.py     the hub's own cache: which files are here, and how they leave
    remote.py    the hub: what a file is there, and its bytes to here
    choice.py    a model's name or a repository's id → the files it needs

Knows no network's inside and no terminal. huggingface_hub is imported on use.
"""
