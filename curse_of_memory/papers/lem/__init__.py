"""Long Expressive Memory, Rusch, Mishra, Erichson and Mahoney (2110.04744): each unit at its own rate."""
