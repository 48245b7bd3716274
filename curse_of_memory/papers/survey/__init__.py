"""A brief survey (Jiang, Li, Li & Wang, 2302.13752): the memories of architectures compared."""
