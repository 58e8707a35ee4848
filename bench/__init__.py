"""How fast it is, measured side by side with what people would write instead. Not part of the package."""
