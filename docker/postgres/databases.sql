-- One server, three databases: Airflow's own, Hasura's own, and the shop that the loops read.
CREATE DATABASE airflow;
CREATE DATABASE hasura;
CREATE DATABASE shop;
