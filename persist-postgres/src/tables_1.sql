-- Version 1. {schema} is the quoted name of the schema, and {channel} that of the channel as a literal.

CREATE TABLE {schema}.sessions (
    id text COLLATE "C" PRIMARY KEY,
    agent text COLLATE "C" NOT NULL,
    agent_session_id text NOT NULL,
    last_connection_id text NOT NULL,
    created_at bigint NOT NULL,
    destroyed_at bigint,
    sandbox_id text,
    session_init text,
    config_options text,
    modes text,
    title text,
    -- The title as titles are compared; bytes, so that it is searched whatever it contains.
    folded_title bytea NOT NULL,
    last_activity_at bigint,
    last_active bigint NOT NULL,
    tags text[] COLLATE "C" NOT NULL,
    archived_at bigint,
    extra text
);
CREATE UNIQUE INDEX sessions_by_time ON {schema}.sessions (created_at, id);
CREATE INDEX sessions_by_agent ON {schema}.sessions (agent, created_at, id);
CREATE INDEX sessions_by_tag ON {schema}.sessions USING gin (tags);

-- JSON is text here and above, and never jsonb: it has to come back as it came.
CREATE TABLE {schema}.events (
    id text COLLATE "C" PRIMARY KEY,
    session_id text COLLATE "C" NOT NULL,
    event_index bigint NOT NULL,
    folded_from bigint,
    created_at bigint NOT NULL,
    connection_id text NOT NULL,
    sender text NOT NULL,
    payload text NOT NULL
);
CREATE UNIQUE INDEX events_by_index ON {schema}.events (session_id, event_index);

-- The newest lease of each session, be it expired or not.
CREATE TABLE {schema}.leases (
    session_id text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    token bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE SEQUENCE {schema}.lease_tokens;

-- Which sessions are followed by which listening connection. A crash of the server ends these, so
-- that it may lose the table as well.
CREATE UNLOGGED TABLE {schema}.followed (
    session_id text COLLATE "C" NOT NULL,
    listener integer NOT NULL,
    PRIMARY KEY (session_id, listener)
);

CREATE FUNCTION {schema}.now_ms() RETURNS bigint
LANGUAGE sql AS $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- What two transactions that are about one session lock.
CREATE FUNCTION {schema}.lock_of(session text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtextextended(session, hashtextextended('{schema}', 0)) $$;

-- Whether the session's newest lease, if there is one, keeps out a write that carries this token, or none.
CREATE FUNCTION {schema}.keeps_out(token bigint, expires_at bigint, carried bigint) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN carried IS NULL THEN token IS NOT NULL AND expires_at > {schema}.now_ms()
        ELSE token IS DISTINCT FROM carried
    END
$$;

-- Every write of a session begins here. It waits until no other one is under way, and says whether
-- the lease that it carries, or none, lets it go on. Each later statement sees what was written before.
CREATE FUNCTION {schema}.enter(session text, carried bigint, OUT refused boolean, OUT held_by text)
LANGUAGE plpgsql AS $$
DECLARE
    newest {schema}.leases;
BEGIN
    PERFORM pg_advisory_xact_lock({schema}.lock_of(session));
    SELECT * INTO newest FROM {schema}.leases WHERE session_id = session;
    held_by := newest.holder;
    refused := {schema}.keeps_out(newest.token, newest.expires_at, carried);
END $$;

-- Stores the batch or a prefix of it. A regular batch has each id once, and each of its events
-- begins where the one before ends. It does by itself what enter does, with fewer statements.
CREATE FUNCTION {schema}.insert_events(
    session text, carried bigint, regular boolean,
    ids text[], firsts bigint[], indexes bigint[], times bigint[], connections text[], senders text[],
    payloads text[],
    OUT outcome text, OUT held_by text, OUT next_index bigint
) LANGUAGE plpgsql AS $$
DECLARE
    before record;
    one record;
BEGIN
    PERFORM pg_advisory_xact_lock({schema}.lock_of(session));
    SELECT
        coalesce((
            SELECT event_index FROM {schema}.events
            WHERE session_id = session ORDER BY event_index DESC LIMIT 1
        ), 0) + 1 AS next_index,
        EXISTS (SELECT FROM {schema}.followed WHERE session_id = session) AS is_followed,
        lease.*
    INTO before
    FROM (SELECT) AS always LEFT JOIN {schema}.leases AS lease ON lease.session_id = session;
    IF (carried IS NOT NULL OR before.token IS NOT NULL)
        AND {schema}.keeps_out(before.token, before.expires_at, carried)
    THEN
        outcome := 'fenced';
        held_by := before.holder;
        RETURN;
    END IF;
    next_index := before.next_index;
    IF regular AND firsts[1] = next_index AND cardinality(ids) > 1 THEN
        -- Looking for each id first would cost a sixth of the time, and hardly ever find one.
        BEGIN
            INSERT INTO {schema}.events
                (id, session_id, event_index, folded_from, created_at, connection_id, sender, payload)
            SELECT unnest(ids), session, unnest(indexes), nullif(unnest(firsts), unnest(indexes)),
                unnest(times), unnest(connections), unnest(senders), unnest(payloads);
            outcome := 'stored';
            next_index := indexes[cardinality(indexes)] + 1;
        EXCEPTION WHEN unique_violation THEN
            -- One of them is known: see below which.
        END;
    END IF;
    IF outcome IS NULL THEN
        FOR one IN
            SELECT * FROM unnest(ids, firsts, indexes, times, connections, senders, payloads)
                AS batch (id, first, index, made_at, connection, sender, payload)
        LOOP
            IF EXISTS (SELECT FROM {schema}.events WHERE id = one.id) THEN
                outcome := 'duplicate';
                EXIT;
            ELSIF one.first <> next_index THEN
                outcome := 'conflict';
                EXIT;
            END IF;
            INSERT INTO {schema}.events
                (id, session_id, event_index, folded_from, created_at, connection_id, sender, payload)
            VALUES (one.id, session, one.index, nullif(one.first, one.index), one.made_at, one.connection,
                one.sender, one.payload);
            next_index := one.index + 1;
        END LOOP;
        outcome := coalesce(outcome, 'stored');
    END IF;
    -- Only for those who follow: transactions that notify commit one after another.
    IF before.is_followed AND next_index > before.next_index THEN
        -- A payload has to be shorter than 8000 bytes; without a session it is about any.
        PERFORM pg_notify({channel}, (next_index - 1)::text
            || CASE WHEN octet_length(session) < 7000 THEN ' ' || session ELSE '' END);
    END IF;
END $$;

CREATE FUNCTION {schema}.delete_session(
    session text, carried bigint, OUT outcome text, OUT held_by text
) LANGUAGE plpgsql AS $$
DECLARE
    refused boolean;
BEGIN
    SELECT e.refused, e.held_by INTO refused, held_by FROM {schema}.enter(session, carried) e;
    IF refused THEN
        outcome := 'fenced';
        RETURN;
    END IF;
    DELETE FROM {schema}.events WHERE session_id = session;
    DELETE FROM {schema}.sessions WHERE id = session;
    outcome := 'stored';
END $$;

CREATE FUNCTION {schema}.fold_events(
    session text, carried bigint, folded_id text, first bigint, last bigint, made_at bigint, connection text,
    folded_sender text, folded_payload text, OUT outcome text, OUT held_by text
) LANGUAGE plpgsql AS $$
DECLARE
    refused boolean;
    begins_at bigint;
BEGIN
    SELECT e.refused, e.held_by INTO refused, held_by FROM {schema}.enter(session, carried) e;
    IF refused THEN
        outcome := 'fenced';
        RETURN;
    END IF;
    SELECT coalesce(folded_from, event_index) INTO begins_at FROM {schema}.events
    WHERE session_id = session AND event_index >= first ORDER BY event_index LIMIT 1;
    -- There are no holes, so that the two ends are enough.
    IF begins_at IS DISTINCT FROM first
        OR NOT EXISTS (SELECT FROM {schema}.events WHERE session_id = session AND event_index = last)
        OR EXISTS (SELECT FROM {schema}.events WHERE id = folded_id)
    THEN
        outcome := 'absent';
        RETURN;
    END IF;
    DELETE FROM {schema}.events WHERE session_id = session AND event_index BETWEEN first AND last;
    INSERT INTO {schema}.events
        (id, session_id, event_index, folded_from, created_at, connection_id, sender, payload)
    VALUES (folded_id, session, last, nullif(first, last), made_at, connection, folded_sender, folded_payload);
    outcome := 'stored';
END $$;

-- Grants the lease, or gives the one in force.
CREATE FUNCTION {schema}.acquire_lease(
    session text, wanted_by text, ttl bigint, by_force boolean,
    OUT granted boolean, OUT held_by text, OUT held_token bigint, OUT held_until bigint
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock({schema}.lock_of(session));
    IF NOT by_force THEN
        SELECT holder, token, expires_at INTO held_by, held_token, held_until FROM {schema}.leases
        WHERE session_id = session AND expires_at > {schema}.now_ms() AND holder <> wanted_by;
        IF FOUND THEN
            granted := false;
            RETURN;
        END IF;
    END IF;
    granted := true;
    held_by := wanted_by;
    held_token := nextval('{schema}.lease_tokens');
    held_until := {schema}.now_ms() + ttl;
    INSERT INTO {schema}.leases VALUES (session, held_by, held_token, held_until)
    ON CONFLICT (session_id) DO UPDATE
        SET holder = excluded.holder, token = excluded.token, expires_at = excluded.expires_at;
END $$;

-- Puts the end of the lease off, and says who has it.
CREATE FUNCTION {schema}.renew_lease(
    session text, renewed bigint, ttl bigint,
    OUT held_by text, OUT held_token bigint, OUT held_until bigint
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock({schema}.lock_of(session));
    UPDATE {schema}.leases SET expires_at = {schema}.now_ms() + ttl
    WHERE session_id = session AND token = renewed;
    SELECT holder, token, expires_at INTO held_by, held_token, held_until FROM {schema}.leases
    WHERE session_id = session;
END $$;

CREATE FUNCTION {schema}.release_lease(session text, released bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock({schema}.lock_of(session));
    DELETE FROM {schema}.leases WHERE session_id = session AND token = released;
END $$;

-- Sees to it that the listener is notified of every event which is stored from now on, and gives the
-- index that the session has come to. The lock, until the commit, keeps out inserts that would not
-- see the new row.
CREATE FUNCTION {schema}.follow(session text, listening integer) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM {schema}.followed WHERE session_id = session AND listener = listening
    ) THEN
        PERFORM pg_advisory_xact_lock_shared({schema}.lock_of(session));
        INSERT INTO {schema}.followed VALUES (session, listening) ON CONFLICT DO NOTHING;
    END IF;
    RETURN coalesce((
        SELECT event_index FROM {schema}.events
        WHERE session_id = session ORDER BY event_index DESC LIMIT 1
    ), 0);
END $$;
