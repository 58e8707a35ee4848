SELECT * FROM app.people WHERE NOT deleted
