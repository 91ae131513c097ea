-- What upstream has served to groups, and where the object store has it. Each replica has an index of its own beside
-- it, so that a hit reads nothing here.

-- The upstream, account and repository of content, as JSON. Equal origins have equal texts.
CREATE TABLE origin (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin text NOT NULL UNIQUE
);

-- The content that upstream was seen to serve to a group's account: the group may read what is stored.
CREATE TABLE link (
    digest bytea NOT NULL,
    group_id bigint NOT NULL,
    origin bigint NOT NULL REFERENCES origin,
    size bigint,
    PRIMARY KEY (digest, group_id, origin)
);
CREATE INDEX link_by_group ON link (group_id);

-- What tags stood for when upstream was last requested. The time is that of the database.
CREATE TABLE tag (
    origin bigint NOT NULL REFERENCES origin,
    tag text NOT NULL,
    digest bytea NOT NULL,
    checked_at timestamptz NOT NULL,
    denied boolean NOT NULL DEFAULT false,
    -- Time of the last denial: a confirmation of before does not end it.
    denied_at timestamptz,
    -- Time at which a replica began to request it from upstream.
    asked_at timestamptz,
    PRIMARY KEY (origin, tag)
);

-- The images that groups have pulled, by tag or digest.
CREATE TABLE image (
    group_id bigint NOT NULL,
    origin bigint NOT NULL REFERENCES origin,
    reference text NOT NULL,
    digest bytea NOT NULL,
    pulled_at timestamptz NOT NULL DEFAULT now(),
    pinned boolean NOT NULL DEFAULT false,
    PRIMARY KEY (group_id, origin, reference)
);
CREATE INDEX image_by_digest ON image (digest);

-- The objects with verified content. A row is made once its object is whole.
CREATE TABLE object (
    digest bytea PRIMARY KEY,
    -- Name of the object below the prefix of the bucket. Each upload has a new one.
    name text NOT NULL,
    size bigint NOT NULL,
    -- The media type of a manifest; null for a blob.
    media_type text,
    stored_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz NOT NULL DEFAULT now(),
    -- Set some time before the object is deleted. No lookup finds it from then on.
    doomed_at timestamptz
);

-- What stored manifests and indexes name.
CREATE TABLE name (
    manifest bytea NOT NULL,
    named bytea NOT NULL,
    PRIMARY KEY (manifest, named)
);
CREATE INDEX name_by_named ON name (named);

-- What all replicas must do to their own index, in the order of the numbers. One row has the last number; its lock is
-- the turn to change links, images and tags, and to add an event, so that the numbers have no gaps and no two changes
-- wait for each other. The id is that of this database: a replica whose index belongs
-- to another one begins with an empty index.
CREATE TABLE content_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id text NOT NULL,
    number bigint NOT NULL
);
INSERT INTO content_head (id, number) VALUES (replace(gen_random_uuid()::text, '-', ''), 0);
CREATE TABLE content_event (
    number bigint PRIMARY KEY,
    -- Distinguishes events with one number, of a database that was restored to an earlier state.
    id text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    at timestamptz NOT NULL DEFAULT now(),
    -- The replica that has made it.
    replica text NOT NULL,
    event json NOT NULL
);

-- Work that one replica does for all, as long as its lease lasts.
CREATE TABLE job (
    name text PRIMARY KEY,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    lease_until timestamptz NOT NULL
);
