-- Identities, their changes, audit events and replicas.

-- The records of users, groups, memberships and tokens, with the keys and values of the export. JSON as text, because
-- jsonb refuses some characters that JSON allows.
CREATE TABLE record (
    key text PRIMARY KEY,
    value json NOT NULL
);
-- The service decides this; the database would notice a mistake. Checked at the end of a change, because one change may
-- exchange two names.
ALTER TABLE record ADD CONSTRAINT group_path EXCLUDE USING btree ((value ->> 'path') WITH =)
    WHERE (key LIKE 'group/%') DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE record ADD CONSTRAINT username EXCLUDE USING btree ((lower(value ->> 'username')) WITH =)
    WHERE (key LIKE 'user/%') DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE record ADD CONSTRAINT token_secret EXCLUDE USING btree ((value ->> 'secret') WITH =)
    WHERE (key LIKE 'token/%') DEFERRABLE INITIALLY DEFERRED;

-- One row: the number of the last change, of the last change that the change log has, and of the last audit event. Its
-- lock is the turn to make a change. Changes of one history have one log: a database that was restored to an earlier
-- state begins another one.
CREATE TABLE fence (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL,
    logged bigint NOT NULL,
    event bigint NOT NULL,
    history text NOT NULL,
    -- True once the change log of the first history exists.
    begun boolean NOT NULL DEFAULT false
);
INSERT INTO fence (version, logged, event, history) VALUES (0, 0, 0, replace(gen_random_uuid()::text, '-', ''));

-- The changes of the last days. The id tells a writer that has lost its connection whether its change is stored.
CREATE TABLE change (
    version bigint PRIMARY KEY,
    id text NOT NULL UNIQUE,
    at timestamptz NOT NULL DEFAULT now(),
    writes json NOT NULL
);

-- Processes that may decide by a directory in memory.
CREATE TABLE replica (
    id text PRIMARY KEY,
    address text NOT NULL,
    -- The process: a copy of a data folder has the same id.
    instance text NOT NULL,
    bound_ms bigint NOT NULL,
    without_database_ms bigint NOT NULL,
    -- True before the row is removed: a replica that finds this registers anew before it decides.
    suspect boolean NOT NULL DEFAULT false,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- Audit events. Those of changes are written with their changes; the others are sums of what happened several times.
CREATE TABLE event (
    id bigint PRIMARY KEY,
    of_change boolean NOT NULL,
    bytes integer NOT NULL,
    event json NOT NULL
);
CREATE INDEX event_by_kind ON event (of_change, id);

-- When and from where credentials were last used.
CREATE TABLE last_use (
    credential text PRIMARY KEY,
    at bigint NOT NULL,
    addresses json NOT NULL
);
CREATE INDEX last_use_at ON last_use (at);
