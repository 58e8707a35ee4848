"""The demo: the reference loop against a real PostgreSQL full of real customers. Not part of the package."""
