"""queuepool: the process manager made for Laravel queues. Here lives the version; all else is in the packages."""

__version__ = "0.1.0"
