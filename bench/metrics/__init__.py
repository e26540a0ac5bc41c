"""What is measured: `catalogue` lists it and loads no torch; the other modules compute it."""
