"""Texts that other tools read. PURE: values in, text out."""
