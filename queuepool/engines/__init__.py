"""What keeps processes alive: the Engine protocol and its implementations."""
