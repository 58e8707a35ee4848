"""What we say: templates compiled once, rendered for one recipient at a time, with signed links."""
