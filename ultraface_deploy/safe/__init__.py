"""Files, processes and downloads that cannot be trusted, and what bounds them."""
