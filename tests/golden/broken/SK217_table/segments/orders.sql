SELECT * FROM orders WHERE paid
