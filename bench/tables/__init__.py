"""Tables of final values."""
