"""Pictures of exact colours: palettes, few bits, 16 bits."""
