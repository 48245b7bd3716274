"""State-space models are universal approximators (Wang & Xue, 2309.13414)."""
