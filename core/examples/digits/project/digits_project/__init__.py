"""A small project: recognising handwritten digits."""
