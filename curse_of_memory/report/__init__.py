"""A figure as data, its record and files, its style, and the papers' numbers beside ours."""
