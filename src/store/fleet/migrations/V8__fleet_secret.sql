-- The secret with which the replicas sign now, by an id that is derived from it and from which it cannot be computed. One
-- row, made by the first replica. Who has no secret with this id is refused; the replica that starts with another one
-- first, and this one after it, replaces it.
CREATE TABLE fleet_secret (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
);
