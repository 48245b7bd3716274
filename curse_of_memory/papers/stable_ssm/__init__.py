"""StableSSM (Wang & Li, 2311.14495): stable reparameterisations of state space models."""
