-- What the tags of images stood for before they moved: links to it go with the image, or when nobody reads it any more.
CREATE TABLE earlier (
    group_id bigint NOT NULL,
    origin bigint NOT NULL REFERENCES origin,
    reference text NOT NULL,
    digest bytea NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, origin, reference, digest)
);
