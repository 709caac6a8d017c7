"""When Celery's crontab fires: for each line `zone<TAB>from<TAB>to<TAB>crontab` (Unix seconds) of a
file, a line of the seconds after `from` and before `to` at which it would, each found from the one
before, as beat does."""

import sys
from datetime import datetime, timezone

from celery import Celery
from celery.schedules import crontab

APPS = {}


def app_of(zone):
    if zone not in APPS:
        app = Celery(set_as_current=False)
        app.conf.update(timezone=zone, enable_utc=True)
        APPS[zone] = app
    return APPS[zone]


def fires(zone, start, end, spec):
    schedule = crontab.from_string(spec)
    schedule.app = app_of(zone)
    at, end = (datetime.fromtimestamp(second, timezone.utc) for second in (start, end))
    while True:
        schedule.nowfun = lambda: at
        following = at + schedule.remaining_estimate(at)
        if following <= at:
            raise SystemExit(f"{zone} {spec}: does not go on from {at}")
        if following >= end:
            return
        yield int(following.timestamp())
        at = following


def main(source, target):
    with open(source) as lines, open(target, "w") as out:
        for line in lines:
            zone, start, end, spec = line.rstrip("\n").split("\t")
            found = fires(zone, int(start), int(end), spec)
            print(*found, file=out)


main(*sys.argv[1:])
