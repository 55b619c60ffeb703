"""What workers print: pumped into files, rotated, read back."""
