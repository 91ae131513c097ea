-- What a program must know to work with this database.
CREATE TABLE schema (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- The number of the last migration that the oldest program knows which works with this schema. A migration that
    -- older ones do not work with raises it: they are refused at their start.
    oldest_reader integer NOT NULL
);
INSERT INTO schema (oldest_reader) VALUES (1);

-- The identities with which this fleet began, if they were made elsewhere.
CREATE TABLE moved_in (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- The installation of the store, or the backup, that had them.
    source text NOT NULL,
    -- The number of the last change in them.
    version bigint NOT NULL,
    -- The last event of cached content before them.
    content_event bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
