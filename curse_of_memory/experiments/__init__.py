"""Experiments that several figures share: grids of settings, trained models and what is measured of them."""
