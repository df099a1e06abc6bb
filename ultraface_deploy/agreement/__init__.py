"""Whether two networks find the same faces, and how far an artifact may be off."""
