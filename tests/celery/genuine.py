"""A genuine Celery worker with tasks of the same names, to stand at the same queue.

    python genuine.py <redis url> <name> [option of `celery worker` ...]
"""
import sys
import time

from celery import Celery

app = Celery("genuine")


@app.task(name="debug_ping")
def debug_ping():
    return "pong"


@app.task(name="compute_risk")
def compute_risk(symbol=None):
    return {"symbol": symbol}


@app.task(name="generate_recommendations")
def generate_recommendations(symbol=None, limit=None):
    return [symbol, limit]


@app.task(name="plan_mitigation")
def plan_mitigation(symbol=None):
    return {"symbol": symbol}


@app.task(name="summarize_recommendation")
def summarize_recommendation(recommendation=None):
    return {"of": recommendation}


@app.task(name="draft_alert")
def draft_alert(event=None, symbol=None, level=None):
    return [event, symbol, level]


@app.task(name="t.add")
def add(a, b):
    return a + b


@app.task(name="t.sum")
def total(numbers):
    return sum(numbers)


@app.task(name="t.slow", acks_late=True)
def slow(seconds):
    time.sleep(seconds)
    return "slept"


if __name__ == "__main__":
    url, name, *options = sys.argv[1:]
    app.conf.update(
        broker_url=url,
        result_backend=url,
        task_default_queue="ai_tasks",
        broker_connection_retry_on_startup=True,
    )
    app.worker_main(["worker", "-n", f"{name}@testhost", "-l", "INFO", *options])
