-- Pulls of images at all replicas together. Each replica reads those that were counted since it last did.
ALTER TABLE image ADD COLUMN pulls bigint NOT NULL DEFAULT 0;
-- Time of the last count; null if there is none.
ALTER TABLE image ADD COLUMN counted_at timestamptz;
CREATE INDEX image_counted ON image (counted_at, group_id, origin, reference) WHERE counted_at IS NOT NULL;

-- Who pulled an image on a day, as each replica has counted it.
CREATE TABLE pull_record (
    -- The group, upstream, repository and reference, as the index of a replica has them.
    image bytea NOT NULL,
    -- Number of days since the epoch.
    day integer NOT NULL,
    -- The id of the credential; zeros for none.
    credential bytea NOT NULL,
    replica text NOT NULL,
    record json NOT NULL,
    PRIMARY KEY (image, day, credential, replica)
);
CREATE INDEX pull_record_by_day ON pull_record (day);
