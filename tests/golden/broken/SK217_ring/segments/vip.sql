SELECT u.id, u.email
FROM users u JOIN loyal ON loyal.id = u.id
