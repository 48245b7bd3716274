"""Audits: where a paper, its README and its public code disagree, both ways run side by side."""
