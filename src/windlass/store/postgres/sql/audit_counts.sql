-- For tests: what does not add up, as text.
-- Input: none. Output: one line per difference or orphan.
-- Relies on: nothing else running.

-- name: audit
SELECT format('count of %s %s is kept as %s and is %s', queue, state, kept, there) FROM (
    SELECT coalesce(k.queue, r.queue) AS queue, coalesce(k.state, r.state) AS state, coalesce(k.n, 0) AS kept, coalesce(r.n, 0) AS there
    FROM (SELECT queue, state, sum(n) AS n FROM (
        SELECT queue, state, n FROM {schema}.total UNION ALL SELECT queue, state, n FROM {schema}.delta) s GROUP BY 1, 2) k
    FULL JOIN (SELECT queue, state, count(*) AS n FROM {schema}.job GROUP BY 1, 2) r ON r.queue = k.queue AND r.state = k.state
) s WHERE kept <> there
UNION ALL
SELECT format('job %s is %s and waits for %s with %s open edges', j.id, j.state, j.waits, e.n)
FROM {schema}.job j CROSS JOIN LATERAL (SELECT count(*) AS n FROM {schema}.edge e WHERE e.child = j.id) e
WHERE j.waits <> e.n OR (j.state = {state:blocked}) <> (e.n > 0 OR j.signal IS NOT NULL) OR e.n > 0 AND j.signal IS NOT NULL
UNION ALL
SELECT format('edge %s to %s has no %s', parent, child, CASE WHEN p.id IS NULL THEN 'parent' ELSE 'child' END)
FROM {schema}.edge e LEFT JOIN {schema}.job p ON p.id = e.parent LEFT JOIN {schema}.job c ON c.id = e.child
WHERE p.id IS NULL OR c.id IS NULL
UNION ALL
SELECT format('parent %s is final, has open edges and is not to be settled', p.id)
FROM {schema}.job p WHERE p.state IN ({any:final}) AND NOT EXISTS (SELECT FROM {schema}.settle s WHERE s.parent = p.id)
AND EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = p.id AND (e.on_failure <> 'hold' OR p.state = {state:completed}))
UNION ALL
SELECT format('parent %s does not know of its dependents', p.id)
FROM {schema}.job p WHERE NOT dependents AND NOT EXISTS (SELECT FROM {schema}.settle s WHERE s.parent = p.id)
AND EXISTS (SELECT FROM {schema}.edge e WHERE e.parent = p.id)
UNION ALL
SELECT format('key %s is held by %s, which is %s', u.key, u.holder, coalesce(j.state, 'gone'))
FROM {schema}.uniq u LEFT JOIN {schema}.job j ON j.id = u.holder
WHERE u.mode <> 'period' AND (j.state IS NULL OR j.state IN ({any:final}))
UNION ALL
SELECT format('log lines of %s, which is gone', l.job)
FROM (SELECT DISTINCT job FROM {schema}.line) l LEFT JOIN {schema}.job j ON j.id = l.job WHERE j.id IS NULL
UNION ALL
SELECT format('job %s is %s with lease until %s', id, state, coalesce(lease_until::text, 'never'))
FROM {schema}.job WHERE (state = {state:active}) <> (lease_until IS NOT NULL)
UNION ALL
SELECT format('job %s is %s and finished at %s', id, state, coalesce(finished_at::text, 'never'))
FROM {schema}.job WHERE (state IN ({any:final})) <> (finished_at IS NOT NULL)
UNION ALL
SELECT format('cut edge %s to %s, which is %s', c.parent, c.child, coalesce(j.state, 'gone'))
FROM {schema}.cut c LEFT JOIN {schema}.job j ON j.id = c.child LEFT JOIN {schema}.job p ON p.id = c.parent
WHERE p.id IS NULL OR j.id IS NULL OR j.state NOT IN ({from:revive})
UNION ALL
SELECT format('steps or signals of %s, which is gone', s.job)
FROM (SELECT job FROM {schema}.step UNION SELECT job FROM {schema}.box) s LEFT JOIN {schema}.job j ON j.id = s.job WHERE j.id IS NULL
UNION ALL
SELECT format('key %s is followed by %s, which is %s', f.key, f.job, coalesce(j.state, 'gone'))
FROM {schema}.follower f LEFT JOIN {schema}.job j ON j.id = f.job WHERE j.state IS DISTINCT FROM {state:blocked}
UNION ALL
SELECT format('key %s is held by %s, and by %s that run or whose end is not heard of yet', g.key, g.held, {schema}.holding(g.key))
FROM {schema}.gate g WHERE g.held <> {schema}.holding(g.key)
UNION ALL
SELECT format('lane %s has waiting jobs and nobody knows of it', j.lane)
FROM (SELECT DISTINCT lane FROM {schema}.job WHERE state = {state:waiting} AND park IS NULL AND lane IS NOT NULL) j
WHERE NOT EXISTS (SELECT FROM {schema}.lane l WHERE l.id = j.lane) AND NOT EXISTS (SELECT FROM {schema}.news n WHERE n.lane = j.lane)
UNION ALL
SELECT format('lane %s waits for %s, which has room and sleeps', l.id, l.waits_for)
FROM {schema}.lane l LEFT JOIN {schema}.gate g ON g.key = l.waits_for LEFT JOIN LATERAL {schema}.room(g, {schema}.clock()) r ON true
WHERE l.waits_for IS NOT NULL AND (g.key IS NULL OR NOT g.awake AND g.opens_at IS NULL AND r.slots > 0)
AND EXISTS (SELECT FROM {schema}.job j WHERE j.lane = l.id AND j.state = {state:waiting} AND j.park IS NULL)
AND NOT EXISTS (SELECT FROM {schema}.freed f WHERE f.key = l.waits_for)
UNION ALL
SELECT format('job %s waits in %s with keys %s and bounds %s', j.id, coalesce(j.lane::text, 'the plain line'), j.keys, j.bounds)
FROM {schema}.job j WHERE j.state = {state:waiting} AND j.park IS NULL AND (
    j.lane IS NULL AND (j.keys IS NOT NULL OR j.bounds IS NOT NULL OR EXISTS (
        SELECT FROM {schema}.gate g WHERE g.ruling AND g.key IN ('queue:' || j.queue, 'kind:' || j.kind)
    )) OR EXISTS (SELECT FROM {schema}.lane l WHERE l.id = j.lane AND (
        l.keys <> coalesce(j.keys, '{}') OR l.queue <> j.queue OR l.runtime <> j.runtime OR l.grp IS NULL AND l.keys = '{}'
    ))
)
UNION ALL
SELECT format('job %s is of workflow %s and stored as of %s', coalesce(j.id, m.job), j.workflow, m.flow)
FROM (SELECT id, workflow FROM {schema}.job WHERE workflow IS NOT NULL) j
FULL JOIN {schema}.member m ON m.job = j.id AND m.flow = j.workflow WHERE j.id IS NULL OR m.job IS NULL
UNION ALL
SELECT format('dead letter %s is kept as of group %s, failed at %s; it is %s, of %s, at %s', coalesce(d.job, j.id), d.fingerprint, d.at,
              coalesce(j.state, 'gone'), {schema}.fingerprint_of(j.error), j.finished_at)
FROM {schema}.dead d FULL JOIN {schema}.job j ON j.id = d.job
WHERE (d.job IS NOT NULL) <> (j.state IS NOT DISTINCT FROM {state:failed}) OR d.at <> j.finished_at
   OR {schema}.fingerprint_of(j.error) NOT IN ('', d.fingerprint)
UNION ALL
SELECT format('label %s of %s is %s', coalesce(l.key, k.key), coalesce(l.job, k.id), CASE WHEN l.job IS NULL THEN 'missing' ELSE 'too much' END)
FROM (SELECT j.id, v.key FROM {schema}.job j CROSS JOIN LATERAL {labels} WHERE v.key IS NOT NULL) k
FULL JOIN {schema}.label l ON l.job = k.id AND l.key = k.key WHERE k.id IS NULL OR l.job IS NULL
UNION ALL
SELECT format('past holds %s, from %s to %s; its mark says %s to %s', p.n, p.first, p.last, m.until, m.at)
FROM (SELECT count(*) AS n, min(n) AS first, max(n) AS last FROM {schema}.past) p LEFT JOIN {schema}.mark m ON m.name = 'past'
WHERE p.n <> coalesce(m.at - m.until + 1, 0) OR p.first <> m.until OR p.last <> m.at
UNION ALL
SELECT format('job %s was asked to stop and has no flag', j.id)
FROM {schema}.job j WHERE j.lease_until IS NOT NULL AND j.cancelling IS NOT NULL AND NOT EXISTS (SELECT FROM {schema}.flag f WHERE f.job = j.id)
UNION ALL
SELECT format('lane %s begins with %s and is ranked behind it, at %s', l.id, h.ord, l.rank)
FROM {schema}.lane l JOIN {schema}.queue q ON q.name = l.queue AND q.ordering = 'strict'
CROSS JOIN LATERAL {schema}.heads(l.id, 0, {schema}.clock(), NULL, 1) h
WHERE h.ord < l.rank AND NOT EXISTS (SELECT FROM {schema}.news n WHERE n.lane = l.id)
