-- Once, when the database is made: the role that clinctl migrate connects as. It
-- owns the schemas; the services' own roles, which migrate makes, own nothing.
CREATE ROLE clinsource LOGIN CREATEROLE;
ALTER DATABASE clinsource OWNER TO clinsource;
