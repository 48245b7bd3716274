"""State space layers: diagonal SSM and S4D."""
