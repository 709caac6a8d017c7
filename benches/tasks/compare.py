#!/usr/bin/env python3
"""Bongsu's task worker and a genuine Celery worker on one Redis, by the client's own measure.

    python compare.py --bongsu target/release/bongsu [--rounds 3] [--json out.json]

Starts a Redis of its own, then in turn, `--rounds` times: an instant echo (the client's floor), a genuine
worker (prefork, 2 processes) and Bongsu. For each: a backlog of 5,000 `debug_ping`, staged under
another key and renamed onto the queue, until the last result is there; 500 sequential
`send_task(...).get()` after 50 to warm up; processor time of the worker, children included, for a task of the
backlog. Prints a table of medians. Needs redis-server and the packages of tests/celery/requirements.txt.
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

import redis
from celery import Celery

HERE = os.path.dirname(os.path.abspath(__file__))
QUEUE = "ai_tasks"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu(pid):
    """User and system seconds of a process and its living children."""
    seconds = 0.0
    tick = os.sysconf("SC_CLK_TCK")
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(entry) == pid or int(fields[1]) == pid:
            seconds += (int(fields[11]) + int(fields[12])) / tick
    return seconds


def backlog(app, db, pid, n):
    ids = [str(uuid.uuid4()) for _ in range(n)]
    app.conf.task_default_queue = staging = "staged"
    for i in ids:
        app.send_task("debug_ping", task_id=i, queue=staging)
    # Renamed as they are: a message says itself where it was sent.
    messages = [m.replace(b'"staged"', b'"ai_tasks"') for m in db.lrange(staging, 0, -1)]
    pipe = db.pipeline(transaction=True)
    pipe.delete(staging)
    for at in range(0, n, 500):
        pipe.rpush("ready", *messages[at:at + 500])
    pipe.execute()
    keys = ["celery-task-meta-" + i for i in ids]
    before, began = cpu(pid), time.perf_counter()
    db.rename("ready", QUEUE)
    first = 0
    while first < n:
        for raw in db.mget(keys[first:first + 200]):
            if raw is None:
                break
            first += 1
        else:
            continue
        time.sleep(0.005)
        if time.perf_counter() - began > 120:
            raise SystemExit(f"only {first} of {n} done in 120 s")
    took = time.perf_counter() - began
    used = cpu(pid) - before
    assert all(json.loads(raw)["status"] == "SUCCESS" for raw in db.mget(keys))
    db.delete(*keys)
    return n / took, used / n * 1000


def round_trips(app, n, warm=50):
    times = []
    for _ in range(warm + n):
        began = time.perf_counter()
        assert app.send_task("debug_ping", queue=QUEUE).get(timeout=10) == "pong"
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times[warm:])


def wait_for(app, process):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"a worker ended: {process.args}")
        try:
            app.send_task("debug_ping", queue=QUEUE).get(timeout=1)
            return
        except Exception:  # not up yet: its time-out, as a rule
            pass
    raise SystemExit(f"a worker does not answer: {process.args}")


def echo(url):
    """Answers each call with a result that was made before: what a worker of no cost would do."""
    db = redis.Redis.from_url(url)
    script = db.register_script("""
        local key = 'celery-task-meta-' .. ARGV[1]
        local result = '{"status": "SUCCESS", "result": "pong", "traceback": null, "children": [], \
"date_done": "2026-01-01T00:00:00+00:00", "task_id": "' .. ARGV[1] .. '"}'
        redis.call('SETEX', key, 60, result)
        redis.call('PUBLISH', key, result)""")
    mark = b'"id": "'
    while True:
        _, raw = db.brpop(QUEUE)
        at = raw.index(mark) + len(mark)
        script(args=[raw[at:raw.index(b'"', at)]])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bongsu", default="target/release/bongsu")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--backlog", type=int, default=5000)
    p.add_argument("--round-trips", type=int, default=500)
    p.add_argument("--json")
    p.add_argument("--echo", help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.echo:
        return echo(o.echo)
    folder = tempfile.mkdtemp(prefix="bongsu-bench-")
    port = free_port()
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
        stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    db = redis.Redis.from_url(url)
    for _ in range(100):
        try:
            db.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    genuine = os.path.join(HERE, "..", "..", "tests", "celery", "genuine.py")
    workers = {
        "echo": [sys.executable, os.path.abspath(__file__), "--echo", url],
        "celery": [sys.executable, genuine, url, "genuine", "-c", "2"],
        "bongsu": [os.path.abspath(o.bongsu), "run", "--roles", "worker"],
    }
    environment = {
        **os.environ, "REDIS_URL": url, "BONGSU_LOG__LEVEL": "warn", "BONGSU_DATA_DIR": folder,
        "BONGSU_HTTP__LISTEN": f"127.0.0.1:{free_port()}",
    }
    seen = {name: {"rate": [], "cpu_ms": [], "p50": [], "p99": []} for name in workers}
    try:
        for _ in range(o.rounds):
            for name, command in workers.items():
                db.flushall()
                log = open(os.path.join(folder, name + ".log"), "ab")
                process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
                app = Celery("compare", broker=url, backend=url)
                wait_for(app, process)
                if name != "echo":
                    rate, used = backlog(app, db, process.pid, o.backlog)
                    seen[name]["rate"].append(rate)
                    seen[name]["cpu_ms"].append(used)
                times = round_trips(app, o.round_trips)
                seen[name]["p50"].append(statistics.median(times))
                seen[name]["p99"].append(times[len(times) * 99 // 100])
                process.terminate()
                process.wait(30)
                app.close()
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
    middle = {n: {k: statistics.median(v) for k, v in m.items() if v} for n, m in seen.items()}
    print("| worker | tasks/s, backlog | CPU a task, ms | round trip p50, ms | p99, ms | p50 beyond the floor, ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    floor = middle["echo"]["p50"]
    for name, m in middle.items():
        rate = f"{m['rate']:.0f}" if "rate" in m else "–"
        used = f"{m['cpu_ms']:.3f}" if "cpu_ms" in m else "–"
        print(f"| {name} | {rate} | {used} | {m['p50']:.2f} | {m['p99']:.2f} | {m['p50'] - floor:.2f} |")
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(seen, f, indent=1)


if __name__ == "__main__":
    main()
