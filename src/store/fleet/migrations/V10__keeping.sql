-- For the choice of what goes: what pinned images name stays, and so does what an image has stood for before.
CREATE INDEX image_pinned ON image (group_id, digest) WHERE pinned;
CREATE INDEX earlier_by_digest ON earlier (digest);
