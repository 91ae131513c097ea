-- Downloads that replicas share: who receives a blob from upstream, so that the others receive it from there. Unlogged:
-- after a crash of the database it is empty, which costs a second download at most.
CREATE UNLOGGED TABLE claim (
    key text PRIMARY KEY,
    replica text NOT NULL,
    epoch bigint NOT NULL,
    complete boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL DEFAULT now()
);
