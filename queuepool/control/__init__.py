"""The control socket: messages, operations, server and client."""
