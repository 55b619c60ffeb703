"""What queuepool knows of a Laravel application on disk and in Redis."""
