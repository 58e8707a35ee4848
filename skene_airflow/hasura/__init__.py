"""Hasura v2: its two endpoints, and the metadata that loops need there."""
