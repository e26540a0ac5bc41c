"""What every program needs: whole files, downloads, memory, devices, provenance, progress."""
