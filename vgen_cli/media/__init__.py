"""Reading and writing clips through ffmpeg pipes: streamed, checked, atomic. Knows no model and no option.

spec: what can be encoded, as a table · destination: where, and the hidden room beside it · ffmpeg: the
binary · encode: spec → arguments · source: frames on their way in · bitrate: two passes · verify · writer ·
probe · reader · metadata: the recipe inside. Import from these files; this one stays empty and costs nothing.
"""
