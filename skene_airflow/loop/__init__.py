"""What a loop says: YAML in, an immutable ``Loop`` or every fault of the file out. No database, no network."""
