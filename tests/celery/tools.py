"""What an operator sees with Celery's own tools: one JSON line a check.

    python tools.py <redis url> <node> <flower port>

Flower is to run at that port. Exit code 0 when every check passed.
"""
import json
import sys
import time
import urllib.request

from celery import Celery

url, node, port = sys.argv[1:]
app = Celery("tools", broker=url, backend=url)
app.conf.task_default_queue = "ai_tasks"
failed = 0


def check(name, ok, seen=None):
    global failed
    failed += not ok
    print(json.dumps({"check": name, "ok": bool(ok), "seen": repr(seen)[:300]}), flush=True)


def until(seconds, look):
    end = time.monotonic() + seconds
    while True:
        try:
            seen = look()
        except OSError:
            seen = None
        if seen or time.monotonic() > end:
            return seen
        time.sleep(0.1)


def flower(path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


def send(name, *args, **options):
    return app.send_task(name, args=args, queue="ai_tasks", **options)


workers = until(20, lambda: flower("/api/workers?refresh=1").get(node))
check("flower.workers", workers and "t.add" in workers.get("registered", []), workers)

inspect = app.control.inspect(destination=[node], timeout=2)
check("inspect.ping", inspect.ping() == {node: {"ok": "pong"}})
check("inspect.registered", "debug_ping" in (inspect.registered() or {}).get(node, []))
check("inspect.active_queues", [q["name"] for q in inspect.active_queues()[node]] == ["ai_tasks"])
# Flower asks for task events some seconds after its start.
check("flower.enable_events", until(20, lambda: inspect.conf()[node]["worker_send_task_events"]))
stats = inspect.stats()[node]
check("inspect.stats", stats["pool"]["max-concurrency"] == 2 and stats["rusage"]["maxrss"] > 0, stats)
check("inspect.conf", inspect.conf()[node]["task_default_queue"] == "ai_tasks")
check("inspect.report", "bongsu" in inspect.report()[node]["ok"])
check("inspect.clock", inspect.clock()[node]["clock"] > 0)
check("inspect.glob", app.control.ping(timeout=1, pattern=node[:2] + "*", matcher="glob"))
unknown = app.control.broadcast("no_such_cmd", reply=True, timeout=1, destination=[node])
check("control.unknown", unknown == [{node: {"error": "KeyError('no_such_cmd')"}}], unknown)

running = [send("t.slow", 30) for _ in range(2)]
waiting = send("t.slow", 0)
later = send("t.add", 1, 1, countdown=100)
active = until(10, lambda: (a := inspect.active()[node]) and len(a) == 2 and a)
check("inspect.active", active and {a["id"] for a in active} == {r.id for r in running}, active)
reserved = inspect.reserved()[node]
check("inspect.reserved", [r["id"] for r in reserved] == [waiting.id], reserved)
scheduled = inspect.scheduled()[node]
check("inspect.scheduled", [s["request"]["id"] for s in scheduled] == [later.id], scheduled)
query = inspect.query_task([running[0].id, later.id, "nobody"])[node]
check("inspect.query_task", {k: v[0] for k, v in query.items()} == {running[0].id: "active", later.id: "scheduled"}, query)

later.revoke()
later.get(timeout=10, propagate=False)
check("revoke.scheduled", later.state == "REVOKED")
waiting.revoke()
waiting.get(timeout=10, propagate=False)
check("revoke.reserved", waiting.state == "REVOKED")
running[0].revoke()
check("revoke.running_goes_on", len(inspect.active()[node]) == 2)
for one in running:
    one.revoke(terminate=True)
    one.get(timeout=10, propagate=False)
check("revoke.terminate", [one.state for one in running] == ["REVOKED"] * 2)
check("inspect.revoked", later.id in inspect.revoked()[node])

reply = app.control.rate_limit("t.add", "5/s", reply=True, timeout=1, destination=[node])
check("rate_limit.set", reply == [{node: {"ok": "new rate limit set successfully"}}], reply)
began = time.monotonic()
for one in [send("t.add", 1, n) for n in range(6)]:
    one.get(timeout=10)
check("rate_limit.kept", time.monotonic() - began > 0.9, time.monotonic() - began)
app.control.rate_limit("t.add", "0", reply=True, timeout=1, destination=[node])
reply = app.control.time_limit("t.slow", soft=None, hard=0.2, reply=True, timeout=1, destination=[node])
check("time_limit.set", reply == [{node: {"ok": "time limits set successfully"}}], reply)
slow = send("t.slow", 5)
slow.get(timeout=10, propagate=False)
check("time_limit.kept", type(slow.result).__name__ == "TimeLimitExceeded", slow.result)
reply = app.control.pool_grow(1, reply=True, timeout=1, destination=[node])
check("pool_grow", inspect.stats()[node]["pool"]["max-concurrency"] == 3, reply)
app.control.cancel_consumer("ai_tasks", reply=True, timeout=1, destination=[node])
held = send("debug_ping")
# A worker that still took messages would have this one before it had answered two more questions.
for _ in range(2):
    inspect.ping()
check("cancel_consumer", app.backend.client.llen("ai_tasks") == 1 and not held.ready())
app.control.add_consumer("ai_tasks", reply=True, timeout=1, destination=[node])
check("add_consumer", held.get(timeout=10) == "pong")

seen = until(10, lambda: (t := flower("/api/tasks")) and held.id in t and t)
states = {key: value["state"] for key, value in (seen or {}).items()}
check("flower.tasks", states.get(held.id) == "SUCCESS", states)
check("flower.revoked", states.get(running[0].id) == "REVOKED", states)
check("flower.failed", states.get(slow.id) == "FAILURE", states)
totals = flower("/api/workers?refresh=1")[node]["stats"]["total"]
check("flower.totals", totals.get("t.add") == 7 and totals.get("debug_ping") == 1, totals)
dashboard = flower("/workers?json=1")["data"]
here = [w for w in dashboard if w["hostname"] == node]
check("flower.online", here and here[0]["status"] is True, here)
sys.exit(1 if failed else 0)
