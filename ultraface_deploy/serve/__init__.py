"""A live view in the browser and an interface for programs: `ultraface-deploy serve`.

A thread reads the source into a slot for one picture, another looks for faces in the newest, and
one coroutine per viewer sends the newest result. Whoever is slow misses pictures; nobody waits for
anybody.
"""
