-- What fwsync does with a report, as a good PostgreSQL user would write it. postgres.c runs this file and
-- calls one of the functions; each returns how many changes it published. The devices' table is logged: what
-- is committed is on disk. The outbox isn't, since what Redis or pg_notify publishes is lost in a crash, too.
--
-- A call that changes something leaves a row in an outbox, with a line for each change, and a subscriber
-- empties it every 50 ms. Nothing else was faster (docs/performance.md): pg_notify takes one lock over the
-- whole server until its commit is on disk, so commits no longer share an fsync; a row for each change is
-- more to write and to delete; logical decoding reads all of the log once more, on the same two cores.

-- Room on every page lets an update stay on its page and leave the index alone.
CREATE TABLE devices (
    device text PRIMARY KEY,
    current_fw_ver text,
    last_target_fw_ver text,
    fw_state_is_synced boolean
) WITH (fillfactor = 50);

CREATE UNLOGGED TABLE outbox (changes text);

-- A change's line.
CREATE FUNCTION change(device text, version text, synced boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT '["' || device || '","' || version || '",' || synced::text || ']'
$$;

-- One report, one transaction.
CREATE FUNCTION report(event jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    reporting text := event->>'device';
    version text := event->'data'->>'currentFwVer';
    saved record;
    synced boolean;
BEGIN
    SELECT last_target_fw_ver AS target, fw_state_is_synced AS synced, current_fw_ver AS version INTO saved
        FROM devices WHERE device = reporting FOR UPDATE;
    synced := version IS NOT DISTINCT FROM saved.target;
    IF synced IS DISTINCT FROM saved.synced OR version IS DISTINCT FROM saved.version THEN
        UPDATE devices SET current_fw_ver = version, fw_state_is_synced = synced WHERE device = reporting;
        INSERT INTO outbox VALUES (change(reporting, version, synced));
        RETURN 1;
    END IF;
    RETURN 0;
END $$;

-- Many reports, one transaction, the same steps for each. They are taken in the order of the devices' names,
-- so that two calls never wait for each other in a circle.
CREATE FUNCTION report_loop(events text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    reported record;
    saved record;
    synced boolean;
    changes text[] := '{}';
BEGIN
    FOR reported IN
        SELECT event->>'device' AS device, event->'data'->>'currentFwVer' AS version
            FROM (SELECT line::jsonb AS event, place
                      FROM unnest(events) WITH ORDINALITY AS lines(line, place)) AS parsed
            ORDER BY device, place
    LOOP
        SELECT last_target_fw_ver AS target, fw_state_is_synced AS synced, current_fw_ver AS version
            INTO saved FROM devices WHERE device = reported.device FOR UPDATE;
        synced := reported.version IS NOT DISTINCT FROM saved.target;
        IF synced IS DISTINCT FROM saved.synced OR reported.version IS DISTINCT FROM saved.version THEN
            UPDATE devices SET current_fw_ver = reported.version, fw_state_is_synced = synced
                WHERE device = reported.device;
            changes := changes || change(reported.device, reported.version, synced);
        END IF;
    END LOOP;
    IF changes <> '{}' THEN
        INSERT INTO outbox VALUES (array_to_string(changes, E'\n'));
    END IF;
    RETURN cardinality(changes);
END $$;

-- Many reports, one transaction, one statement and the outbox's row: half as much again as the loop does.
-- `saved` takes the locks in the order of the names, so that two calls never wait for each other in a
-- circle. A device that reports twice in one call is written once, and each change of it is told.
CREATE FUNCTION report_many(events text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    change_count integer;
    changes text;
BEGIN
    WITH reported AS MATERIALIZED (
        SELECT event->>'device' AS device, event->'data'->>'currentFwVer' AS version, place
            FROM (SELECT line::jsonb AS event, place
                      FROM unnest(events) WITH ORDINALITY AS lines(line, place)) AS parsed
    ), saved AS MATERIALIZED (
        SELECT device, last_target_fw_ver AS target, fw_state_is_synced AS synced,
               current_fw_ver AS version
            FROM devices
            WHERE device = ANY (ARRAY(SELECT device FROM reported)) ORDER BY device FOR UPDATE
    ), compared AS (
        SELECT device, place, reported.version, reported.version IS NOT DISTINCT FROM target AS synced,
               saved.synced AS synced_at_first, saved.version AS version_at_first
            FROM reported JOIN saved USING (device)
    ), judged AS MATERIALIZED (
        SELECT device, version, synced,
               lag(synced, 1, synced_at_first) OVER in_turn AS synced_before,
               lag(version, 1, version_at_first) OVER in_turn AS version_before,
               lead(place) OVER in_turn IS NULL AS is_last
            FROM compared WINDOW in_turn AS (PARTITION BY device ORDER BY place)
    ), written AS (
        UPDATE devices SET current_fw_ver = judged.version, fw_state_is_synced = judged.synced
            FROM judged WHERE is_last AND devices.device = judged.device
    )
    SELECT count(*), string_agg(change(device, version, synced), E'\n') INTO change_count, changes
        FROM judged
        WHERE synced IS DISTINCT FROM synced_before OR version IS DISTINCT FROM version_before;
    IF change_count > 0 THEN
        INSERT INTO outbox VALUES (changes);
    END IF;
    RETURN change_count;
END $$;
