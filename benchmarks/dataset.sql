-- A team's leads after two years: `bench.contacts` of them, five messages each, written straight into leadcrm's tables.
-- Numbers, ids and phones are those of benchmarks/traffic.py, so that its traffic is of these people.

SELECT setseed(0.42);

-- Who they are, and how their conversation went. A few wait, a tenth never heard from us, most had the last word of ours;
-- half a percent were active within a day. Person 0 is the customer with 20,000 messages.
CREATE TEMP TABLE person AS
WITH drawn AS (
    SELECT n, random() AS activity, random() AS luck, random() AS share, random() AS length, random() AS mark
    FROM generate_series(0, current_setting('bench.contacts')::int - 1) AS n
), counted AS (
    SELECT *, luck < 0.1 AS is_unheard, CASE
        WHEN n = 0 THEN least(20000, 20 * current_setting('bench.contacts')::int)
        WHEN luck < 0.1 THEN 1 + (length * 1.5)::int
        WHEN luck < 0.18 THEN 1 + 2 * (-2.2 * ln(1 - length))::int
        ELSE 2 + 2 * (-1.7 * ln(1 - length))::int
    END AS messages FROM drawn
)
SELECT counted.*, last_at, last_at - make_interval(secs => messages * 20000 * share) AS first_at,
    n % 2 + 1 AS number_id, (5511960000000 + n)::text AS phone, lpad(to_hex(n + 1), 32, '0')::uuid::text AS session,
    (ARRAY['José','Ana','Camila','Иван','Ольга','أحمد','ليلى','美咲','太郎','지우','अर्जुन','Zoë','Renée','Łukasz','Nguyễn',
        'Mary','Chinedu','Σοφία','Fátima','Beatriz'])[1 + (n * 7) % 20]
    || ' ' || (ARRAY['Quispe','da Silva','Rocha','Петров','Ковальчук','الحسن','佐藤','鈴木','김','शर्मा','García','Müller','Øst',
        'Novák','Trần','Smith','Okafor','Παππάς','Conceição','Yılmaz','O''Neill'])[1 + (n * 11) % 21]
    || CASE WHEN share < 0.3 THEN ' ' || n % 9973 ELSE '' END AS name,
    (ARRAY['new','new','new','qualified','qualified','contacted','contacted','converted','archived','archived'])
        [1 + (mark * 9.999)::int % 10] AS lead_status
FROM counted CROSS JOIN LATERAL (
    SELECT current_setting('bench.now')::timestamptz - make_interval(secs => 720 * 86400 * power(activity, 1.3)) AS last_at
) AS spread;
CREATE UNIQUE INDEX ON person (n);
ANALYZE person;

INSERT INTO contacts_contact (id, workspace_id, phone, name, chosen_name, kapso_name, username, email, lead_status,
    lead_score, tags, owner_id, source, last_activity_at, last_contact_at, last_inbound_at, unanswered_since, read_at, closed_at,
    snoozed_at, snoozed_until, made_by_sync, created_at)
SELECT n + 1, 1, phone, CASE WHEN mark < 0.05 THEN 'Cliente ' || name ELSE name END, name, name,
    CASE WHEN n % 10 = 3 THEN 'user_' || n ELSE '' END,
    CASE WHEN n % 7 = 2 THEN 'lead' || n || '@example.com' ELSE '' END,
    lead_status, n % 100,
    CASE WHEN n % 4 = 0 THEN (ARRAY['vip','wholesale','retail','Lima','São Paulo','warranty','demo','urgent'])[1 + n % 8 : 1 + n % 8 + n % 2] ELSE '{}' END,
    CASE WHEN share < 0.6 THEN owners.ids[1 + n % cardinality(owners.ids)] END,
    CASE WHEN n % 8 = 5 THEN 'ad-' || n % 40 ELSE 'whatsapp' END,
    last_at, contact_at, inbound_at,
    CASE WHEN is_unheard THEN last_at - (last_at - first_at) * (messages - 1) / messages WHEN messages % 2 = 1 THEN last_at END,
    CASE WHEN share < 0.9 THEN inbound_at END,
    CASE WHEN lead_status IN ('converted', 'archived') THEN
        CASE WHEN n % 20 = 1 THEN first_at - interval '1 hour' ELSE last_at + interval '1 hour' END
    END,
    CASE WHEN n % 300 = 11 THEN last_at END,
    CASE WHEN n % 300 = 11 THEN current_setting('bench.now')::timestamptz + interval '1 year' END,
    true, first_at
FROM person CROSS JOIN (SELECT array_agg(id ORDER BY id) AS ids FROM auth_user) AS owners
CROSS JOIN LATERAL (
    SELECT last_at - (last_at - first_at) / messages AS before_last_at
) AS earlier CROSS JOIN LATERAL (
    SELECT CASE WHEN is_unheard OR messages % 2 = 1 THEN last_at ELSE before_last_at END AS inbound_at,
        CASE WHEN is_unheard OR messages = 1 THEN NULL WHEN messages % 2 = 0 THEN last_at ELSE before_last_at END
            AS contact_at
) AS clocks
ORDER BY n;

INSERT INTO contacts_followup (workspace_id, contact_id, due_at, remark, by_id)
SELECT 1, n + 1, last_at + interval '3 days', 'call', (SELECT min(id) FROM auth_user) FROM person WHERE n % 200 = 3;

INSERT INTO contacts_identity (id, workspace_id, kind, value, contact_id, home_id, first_seen_at, last_seen_at)
SELECT n + 1, 1, 'phone', phone, n + 1, n + 1, first_at, last_at FROM person ORDER BY n;

INSERT INTO contacts_profilefact (workspace_id, identity_id, field, value, first_at, last_at)
SELECT 1, n + 1, 'name', name, first_at, last_at FROM person ORDER BY n;

INSERT INTO contacts_conversation (id, workspace_id, contact_id, phone_number_id, status, kapso_conversation_id,
    last_message_at, last_inbound_at, handoff_at, handoff_reason, created_at)
SELECT n + 1, 1, n + 1, number_id, 'active', session, last_at, last_at,
    CASE WHEN n % 500 = 7 THEN last_at END, CASE WHEN n % 500 = 7 THEN 'asks for a human' ELSE '' END, first_at
FROM person ORDER BY n;

INSERT INTO contacts_kapsosession (workspace_id, phone_number_id, kapso_conversation_id, conversation_id, phone, phone_at,
    status, status_at, last_at, told_messages, told_at)
SELECT 1, number_id, session, n + 1, phone, last_at, 'active', last_at, last_at, messages, last_at FROM person ORDER BY n;

-- The customer's turn, then ours; only the customer's where nobody answered. In order of time, as they came.
CREATE TEMP TABLE turn AS
SELECT n, k, is_unheard OR k % 2 = 1 AS is_inbound, last_at - (last_at - first_at) * (messages - k) / messages AS at,
    'wamid.set.' || n || '.' || k AS wamid, number_id, phone, session
FROM person CROSS JOIN LATERAL generate_series(1, messages) AS k;

INSERT INTO contacts_message (workspace_id, phone_number_id, conversation_id, contact_id, kapso_message_id, direction,
    content, payload, status, sent_at, earliest_at, delivered_at, read_at, phone, kapso_conversation_id, told, created_at)
SELECT 1, number_id, n + 1, n + 1, wamid, CASE WHEN is_inbound THEN 'inbound' ELSE 'outbound' END,
    content, jsonb_build_object('body', content), CASE WHEN is_inbound THEN 'received' ELSE 'read' END, at, at,
    CASE WHEN NOT is_inbound THEN at + interval '3 s' END, CASE WHEN NOT is_inbound THEN at + interval '40 s' END,
    phone, session,
    '{"body": "1120178100008100000002205a2f237a", "phone": "112017810000810000000017b829e652", "person": "1", "inbound": "1", "session": "112017810000810000000040b31153f0"}',
    at
FROM turn CROSS JOIN LATERAL (
    SELECT (ARRAY['Bom dia! Vocês entregam em Guarulhos?','¿Cuánto cuesta el envío a Miraflores?','Is it still available?',
        'Obrigada, pode mandar o boleto','Сколько стоит доставка?','هل يمكنني الدفع عند الاستلام؟','明日届きますか？','Perfecto, lo confirmo',
        'Preciso de nota fiscal','The red one, size 42 please','¿Tienen garantía?','Segue o comprovante'])[1 + (n + k * 5) % 12]
        || CASE WHEN (n + k) % 3 = 0 THEN ' (pedido ' || (n * 31 + k) % 999983 || ')' ELSE '' END AS content
) AS said
ORDER BY at;

INSERT INTO contacts_messagereceipt (workspace_id, phone_number_id, kapso_message_id, rank, sent_at, delivered_at, read_at)
SELECT 1, number_id, wamid, 5, at, at + interval '3 s', at + interval '40 s' FROM turn WHERE NOT is_inbound ORDER BY at;

-- What triggers write of a lead and a message.
INSERT INTO contacts_searchedlead (contact_id, workspace_id, words)
SELECT id, workspace_id, contacts_called(name, kapso_name, username, email, phone) FROM contacts_contact ORDER BY id;
INSERT INTO contacts_searchedmessage (message_id, workspace_id, words)
SELECT id, workspace_id, strip(contacts_words(content)) FROM contacts_message ORDER BY id;

-- Their bodies are cleared: what is measured over this set reads none.
INSERT INTO kapso_sync_webhookdelivery (received_at, idempotency_key, event, phone_number_id, workspace_id, body,
    body_cleared_at, body_sha256, status, attempts, processed_at)
SELECT at, wamid, 'whatsapp.message.received', p.phone_number_id, 1, '', at,
    encode(sha256(convert_to(wamid, 'UTF8')), 'hex'), 'processed', 1, at
FROM turn JOIN contacts_phonenumber p ON p.id = turn.number_id ORDER BY at;

DROP TABLE person, turn;
