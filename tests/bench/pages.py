"""Staff pages with 100,000 candidates, asked for over HTTP from the real staff process."""

from __future__ import annotations

import http.client
import time

from sqlalchemy import text

from appliance.domain import Role
from tests.bench import servers
from tests.bench.figures import Goal, Sheet, median, p95
from tests.bench.stand import Stand

CANDIDATES, POSITIONS, TIMES = 100_000, 200, 30
PAGES = {
    "today": (Role.RECRUITER, "/"),
    "candidates": (Role.RECRUITER, "/candidates"),
    "candidates_by_name": (Role.RECRUITER, "/candidates?sort=name&order=asc"),
    "candidates_last_page": (Role.RECRUITER, "/candidates?page=1000"),
    "search_chinese": (Role.RECRUITER, "/candidates?q=%E7%8E%8B%E5%B0%8F"),
    "search_address": (Role.RECRUITER, "/candidates?q=c99%40"),
    "department": (Role.DEPARTMENT_HEAD, "/candidates"),
    "positions": (Role.RECRUITER, "/positions"),
    "access_log": (Role.AUDITOR, "/audit"),
}
FILL = """
INSERT INTO position (id, department_id, title, language, policy, competency_model, created_at)
SELECT gen_random_uuid(), (SELECT id FROM department ORDER BY id LIMIT 1), 'Position ' || n, 'zh',
       '{"screen": "off"}', '[]', now() - n * interval '1 hour' FROM generate_series(1, :positions) n;
CREATE TEMPORARY TABLE made AS
SELECT n, gen_random_uuid() AS person, gen_random_uuid() AS attempt,
       substr('王李张刘陈杨赵黄周吴', 1 + n % 10, 1) || substr('小明华丽强敏静军洋勇艳杰', 1 + n / 10 % 12, 1)
       || substr('文英平刚桂芳霞飞玉萍', 1 + n / 120 % 10, 1) AS name
FROM generate_series(1, :candidates) n;
INSERT INTO candidate (id, name, email, department_id)
SELECT person, name, 'c' || n || '@example.com', (SELECT id FROM department ORDER BY id LIMIT 1) FROM made;
INSERT INTO attempt (id, position_id, candidate_id, state, deadline, created_at, invited_at, finished_at)
SELECT made.attempt, numbered.id, person,
       CASE WHEN n % 10 < 6 THEN 'finished' WHEN n % 10 < 8 THEN 'invited' ELSE 'expired' END,
       now() - n * interval '1 minute' + interval '14 days', now() - n * interval '1 minute',
       now() - n * interval '1 minute',
       CASE WHEN n % 10 < 6 THEN now() - n * interval '1 minute' + interval '1 day' END
FROM made JOIN (SELECT id, row_number() OVER (ORDER BY created_at) AS k FROM position) numbered
  ON numbered.k = 1 + n % :positions;
INSERT INTO recording (id, state, sealed_at, duration_ms, bytes)
SELECT attempt, 'sealed', now() - n * interval '1 minute', 600000, 95000000 FROM made WHERE n % 10 < 6;
INSERT INTO analysis (recording_id, state, progress, finished_at)
SELECT attempt, 'done', 100, now() - n * interval '1 minute' FROM made WHERE n % 10 < 6;
DROP TABLE made;
"""


def measure(sheet: Sheet, stand: Stand) -> None:
    """Fill the database, then ask for each page TIMES times, one after the other."""
    _fill(stand)
    cookies = {role: stand.cookie(role) for role in {role for role, _ in PAGES.values()}}
    slowest = 0.0
    with servers.running("staff", stand.settings_file) as staff:
        for name, (role, path) in PAGES.items():
            taken = _ask(staff.port, path, cookies[role])
            slowest = max(slowest, p95(taken))
            sheet.add(
                f"pages.{name}.p95",
                p95(taken) * 1000,
                "ms",
                Goal("<", 200),
                f"median {median(taken) * 1000:.0f} ms",
            )
    about = f"{CANDIDATES} candidates, {POSITIONS} positions, {TIMES} times each, one at a time"
    sheet.add("pages.slowest.p95", slowest * 1000, "ms", Goal("<", 200), about)


def _fill(stand: Stand) -> None:
    with stand.cluster.superuser(stand.settings.database.name) as connection:
        for statement in FILL.split(";\n"):
            if statement.strip():
                bound = {
                    name: value
                    for name, value in (("positions", POSITIONS), ("candidates", CANDIDATES))
                    if f":{name}" in statement
                }
                connection.execute(text(statement), bound)
        connection.execute(text("VACUUM ANALYZE"))


def _ask(port: int, path: str, cookie: str) -> list[float]:
    """Seconds from asking to the last byte, after two to warm up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    taken = []
    for _ in range(TIMES + 2):
        begun = time.monotonic()
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        taken.append(time.monotonic() - begun)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
    connection.close()
    return taken[2:]
