"""Expire-Span, Sukhbaatar, Ju, Poff, Roller, Szlam, Weston and Fan (2105.06548): memories with a date."""
