SELECT id FROM users WHERE seats > 5
