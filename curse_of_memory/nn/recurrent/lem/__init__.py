"""Long Expressive Memory (2110.04744): the layer, one direction of it, and the layout of the public code."""
