"""What the releases of the project differ in."""

GAMMA = 0.001
