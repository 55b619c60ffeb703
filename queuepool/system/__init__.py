"""The operating system: processes, run directory, /proc."""
