"""Finding and reading queuepool.yml."""
