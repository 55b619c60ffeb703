"""queuepool: the process manager made for Laravel queues. The version lives here, everything else in the packages below."""

__version__ = "0.1.0"
