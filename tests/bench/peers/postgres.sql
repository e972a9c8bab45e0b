-- What fwsync does with a report, as a good PostgreSQL user would write it. postgres.c runs this file and
-- calls the two functions. All tables are logged: what is committed is on disk.
--
-- A report that changes something goes into an outbox that a reader would empty, not into pg_notify: that takes
-- one lock over the whole server from its call to the end of the commit, so commits would no longer
-- share an fsync. The outbox has no index and nobody reads it here, which is in PostgreSQL's favour.

-- Room on every page lets an update stay on its page and leave the index alone.
CREATE TABLE devices (
    device text PRIMARY KEY,
    current_fw_ver text,
    last_target_fw_ver text,
    fw_state_is_synced boolean
) WITH (fillfactor = 50);

CREATE TABLE outbox (device text, current_fw_ver text, fw_state_is_synced boolean);

-- One report, one transaction.
CREATE FUNCTION report(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
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
        INSERT INTO outbox VALUES (reporting, version, synced);
    END IF;
END $$;

-- Many reports, one transaction, one statement: half as much again as a loop over the same steps does.
-- `saved` takes the locks in the order of the names, so that two calls never wait for each other in a
-- circle. A device that reports twice in one call is written once, and each change of it is told.
CREATE FUNCTION report_many(events text[]) RETURNS void LANGUAGE plpgsql AS $$
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
    ), told AS (
        INSERT INTO outbox
            SELECT device, version, synced FROM judged
                WHERE synced IS DISTINCT FROM synced_before OR version IS DISTINCT FROM version_before
    )
    UPDATE devices SET current_fw_ver = judged.version, fw_state_is_synced = judged.synced
        FROM judged WHERE is_last AND devices.device = judged.device;
END $$;
