"""Faces in pictures and videos: sources, the detector, and where the results go."""
