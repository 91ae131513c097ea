-- What groups have cached at all replicas together, as the replica that looks after the object store has counted it
-- last: counting reads all links.
CREATE TABLE group_total (
    group_id bigint PRIMARY KEY,
    bytes bigint NOT NULL,
    blobs bigint NOT NULL,
    manifests bigint NOT NULL,
    images bigint NOT NULL
);
