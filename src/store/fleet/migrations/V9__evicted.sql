-- Content that went from the bucket though groups have links to it: a replica that still has it uploads it again once it
-- is read a day later. Rows are removed after 30 days.
CREATE TABLE evicted (
    digest bytea PRIMARY KEY,
    -- The time of the last read, which the object has again when it comes back.
    read_at timestamptz NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX evicted_at ON evicted (at);

-- By the database itself, so that it does not matter which release looks after the bucket.
CREATE FUNCTION note_evicted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO evicted (digest, read_at, at) SELECT NEW.digest, NEW.read_at, NEW.doomed_at
        WHERE EXISTS (SELECT FROM link WHERE link.digest = NEW.digest)
        ON CONFLICT (digest) DO UPDATE SET read_at = excluded.read_at, at = excluded.at;
    RETURN NULL;
END $$;
CREATE TRIGGER note_evicted AFTER UPDATE OF doomed_at ON object FOR EACH ROW
    WHEN (OLD.doomed_at IS NULL AND NEW.doomed_at IS NOT NULL) EXECUTE FUNCTION note_evicted();
INSERT INTO evicted (digest, read_at, at) SELECT digest, read_at, doomed_at FROM object
    WHERE doomed_at IS NOT NULL AND EXISTS (SELECT FROM link WHERE link.digest = object.digest);
