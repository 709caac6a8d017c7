#!/usr/bin/env python3
"""A program that others wrote for the KIS Open API, as a check of a KIS server: the package `kis-agent`.

    user_client.py --config kis_devlp.yaml --env prod|vps

Nothing of the package is edited: this file configures it and calls it. Host and port come from the YAML file, by the
`base_url` of its `Agent` and the `url` of its `WSAgent`. It takes a server for paper trading only by the vendor's own
host name, so against another one it sends real TR IDs: in paper trading its account calls must be refused.

One JSON object a line on stdout, `{"check": ..., "ok": ..., "detail": ...}`; exit 1 if any check failed, 2 if the
configuration is unusable.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

SYMBOL = "005930"
FEEDS = {"H0STCNT0": 46, "H0STASP0": 59}
"""Feeds that are listened to, and how many fields a record has at least."""
ENOUGH_FRAMES = 10

failed = 0


def add(check: str, ok: bool, detail: Any = "") -> bool:
    """Prints one result."""
    global failed
    failed += not ok
    line = json.dumps({"check": check, "ok": bool(ok), "detail": detail}, ensure_ascii=False, default=str)
    # The real stdout: a step may be running with it redirected.
    print(line, file=sys.__stdout__, flush=True)
    return bool(ok)


def attempt(check: str, body: Callable[[], Any]) -> Any:
    """One step; what the package raises or prints is the detail of a failed check."""
    said = io.StringIO()
    try:
        # The package prints its errors; stdout is for results.
        with contextlib.redirect_stdout(said):
            return body()
    except Exception as error:  # any exception of the package is the finding
        add(check, False, f"{type(error).__name__}: {error} {said.getvalue()}"[:400])
        return None


def answered(name: str, body: Callable[[], Any], look: Callable[[dict[str, Any]], Any]) -> Any:
    """A call whose answer has `rt_cd` 0 and in which `look` finds something."""

    def step() -> Any:
        answer = body()
        if not isinstance(answer, dict) or answer.get("rt_cd") != "0":
            add(name, False, answer)
            return None
        found = look(answer)
        add(name, bool(found), found)
        return answer

    return attempt(name, step)


def refused(name: str, body: Callable[[], Any]) -> None:
    """A call that paper trading does not know."""

    def step() -> None:
        answer = body()
        add(name, isinstance(answer, dict) and answer.get("msg_cd") == "EGW02004", answer)

    attempt(name, step)


def traded(stock: Any, seconds: float) -> None:
    """Waits for the first trade: a market that has just opened has nothing to rank and no bar to show."""
    end = time.monotonic() + seconds
    while not (stock.inquire_ccnl(SYMBOL) or {}).get("output") and time.monotonic() < end:
        time.sleep(0.1)


def quotations(stock: Any, real: bool) -> str:
    """Market data; gives the day that is played, the newest of the daily bars."""
    daily = answered("daily-price", lambda: stock.inquire_daily_price(SYMBOL), lambda a: len(a["output"]))
    day = daily["output"][0]["stck_bsop_date"] if daily else time.strftime("%Y%m%d")
    first = f"{int(day[:4]) - 1}{day[4:]}"
    answered("price", lambda: stock.get_stock_price(SYMBOL), lambda a: int(a["output"]["stck_prpr"]))
    answered("trades", lambda: stock.inquire_ccnl(SYMBOL), lambda a: len(a["output"]))
    answered("period-chart", lambda: stock.inquire_daily_itemchartprice(SYMBOL, first, day), lambda a: len(a["output2"]))
    answered("order-book", lambda: stock.get_orderbook(SYMBOL), lambda a: int(a["output1"]["askp1"]))
    if not real:
        refused("volume-rank", lambda: stock.volume_rank(stock_code="0000"))
        return day
    # `get_intraday_price` is the same call with the date of this machine, which is not the day a server may play.
    answered("minutes-of-a-day", lambda: stock.get_daily_minute_price(SYMBOL, day), lambda a: len(a["output2"]))
    ranking = {"stock_code": "0000"}  # all issues; the package's own choice, empty, is not in the documents
    answered("volume-rank", lambda: stock.volume_rank(**ranking), lambda a: len(a["output"]))
    answered("market-cap", lambda: stock.market_cap(**ranking), lambda a: len(a["output"]))
    answered("vi-list", lambda: stock.inquire_vi_status(date=day), lambda a: f"{len(a['output'])} rows")
    answered("calendar", lambda: stock.get_holiday_info(day), lambda a: len(a["output"]))
    return day


def account(account: Any, day: str, real: bool) -> None:
    """Balance, buying power, one order, and what the inquiries tell of it."""
    if not real:
        refused("balance", account.get_account_balance)
        return
    from kis_agent.account import profit_api

    answered("balance", account.get_account_balance, lambda a: int(a["output2"][0]["tot_evlu_amt"]))
    # It asks for a limit order at 0 won: there is an amount, and no quantity.
    answered("buying-power", lambda: account.get_cash_available(SYMBOL), lambda a: int(a["output"]["nrcvb_buy_amt"]))
    sent = answered("order", lambda: account.order_cash(SYMBOL, 1, 0, "BUY", "01"), lambda a: a["output"]["ODNO"])
    number = sent["output"]["ODNO"] if sent else None

    def listed(answer: dict[str, Any]) -> list[str]:
        return [row["odno"] for row in answer["output1"] if row["odno"] == number]

    # The package tells recent orders from older ones, which have a TR ID of their own, by the date of this machine. The day
    # that a server plays may be any, so its date is put in that place.
    with mock.patch.object(profit_api, "datetime", clock_at(day)):
        answered("order-history", lambda: account.inquire_daily_ccld(day, day), listed)
        answered("order-history-pages", lambda: account.inquire_daily_ccld(day, day, pagination=True), listed)
        before = f"{int(day[:4]) - 1}{day[4:]}"
        answered("older-orders", lambda: account.inquire_daily_ccld(before, before), lambda a: f"{len(a['output1'])} orders")
    # The package still sends the older TR ID, TTTC8036R.
    answered("open-orders", account.inquire_psbl_rvsecncl, lambda a: f"{len(a['output'])} orders")


def clock_at(day: str) -> type[datetime]:
    """A `datetime` whose present is a given day."""
    present = datetime.strptime(day, "%Y%m%d")

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return present

    return Clock


def feeds(key: str, url: str, seconds: float) -> None:
    """Trades and order books over the WebSocket."""
    from kis_agent.websocket import ws_agent
    from kis_agent.websocket.ws_types import SubscriptionType

    got: dict[str, list[list[str]]] = {}

    async def listen() -> None:
        socket = ws_agent.WSAgent(key, url=url, auto_reconnect=True, max_reconnect_attempts=1)
        for kind in (SubscriptionType.STOCK_TRADE, SubscriptionType.STOCK_ASK_BID):
            socket.subscribe(kind, SYMBOL)
        socket.set_default_handler(lambda data, about: got.setdefault(about["tr_id"], []).append(data))
        task = asyncio.create_task(socket.connect())
        end = time.monotonic() + seconds
        while time.monotonic() < end and not task.done() and min(len(got.get(feed, [])) for feed in FEEDS) < ENOUGH_FRAMES:
            await asyncio.sleep(0.05)
        subscribed = sorted(socket.active_subscriptions)
        add("subscribed", subscribed == sorted(f"{feed}_{SYMBOL}" for feed in FEEDS), subscribed)
        socket.auto_reconnect = False
        # The package may take a cancellation for the end of one connection and go on.
        for _ in range(10):
            task.cancel()
            if (await asyncio.wait({task}, timeout=1))[0]:
                break
        else:
            raise TimeoutError("the package does not end its connection")

    # The package does not connect at all when the clock of Seoul says that the market is closed. A server that plays a day
    # has a clock of its own, so the look at the wall clock is answered here; nothing on the wire changes.
    with mock.patch.object(ws_agent, "_is_after_market_close", lambda has_night_session=False: False):
        attempt("feeds", lambda: asyncio.run(listen()))
    for feed, least in FEEDS.items():
        rows = got.get(feed, [])
        right = bool(rows) and all(len(row) >= least and row[0] == SYMBOL for row in rows)
        add(feed, right, f"{len(rows)} frames, fields {sorted({len(row) for row in rows})}")


def run(config: dict[str, str], env: str, home: Path, seconds: float) -> None:
    """Token, quotations, account, feeds."""
    # Its token file lies inside the installed package unless this variable names another; read at import.
    os.environ["KIS_TOKEN_PATH"] = str(home / "KIS_Token.json")
    from kis_agent import Agent

    logging.disable(logging.INFO)
    real = env == "prod"
    keys = ("my_app", "my_sec", "my_acct_stock", "ops") if real else ("paper_app", "paper_sec", "my_paper_stock", "vops")
    app_key, app_secret, number, socket = (config[key] for key in keys)

    def agent() -> Any:
        # The issue lists it loads in the background come from the vendor's download host, which no setting changes.
        with mock.patch.object(Agent, "_preload_masters", lambda self: None):
            return Agent(app_key=app_key, app_secret=app_secret, account_no=number, account_code=config["my_prod"],
                         base_url=config[env])

    client = attempt("token", agent)
    if client is None or not add("token", bool(client.client.token), f"valid until {client.client.token_expired}"):
        return
    attempt("first-trade", lambda: traded(client.stock_api, seconds))
    day = quotations(client.stock_api, real)
    account(client.account_api, day, real)
    key = attempt("approval", client.client.get_ws_approval_key)
    if add("approval", bool(key)):
        feeds(key, socket, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="kis_devlp.yaml")
    parser.add_argument("--env", choices=("prod", "vps"), default="prod", help="environment and its keys and hosts [prod]")
    parser.add_argument("--seconds", type=float, default=15, help="how long to wait for trades and frames at most [15]")
    options = parser.parse_args()
    try:
        config = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as home:
        run(config, options.env, Path(home), options.seconds)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
