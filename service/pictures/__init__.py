"""Pictures as SVG, drawn by hand from the very data that they come with."""
