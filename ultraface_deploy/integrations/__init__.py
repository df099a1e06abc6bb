"""The detector inside other people's engines."""
