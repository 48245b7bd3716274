"""INTEREST (Wang & Yan, 2307.11462): errors rescaled in time, and the memory they teach."""
