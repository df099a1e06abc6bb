"""Pages that people look at: one self-contained HTML file each, and the plots in it."""
