#!/usr/bin/env python3
"""A client in the manner of the vendor's official sample, as a check of a KIS server.

    official_style_client.py --config kis_devlp.yaml --env prod|vps [--only NAME ...]

It takes keys, account and hosts from the YAML file and nothing else: changing the four addresses there
(`prod`, `ops`, `vps`, `vops`) is all it takes to point it at another server. It makes every quotation,
ranking and account call, follows pages, asks wrongly on purpose, and listens to the feeds, and compares
header names, envelopes, field names, their order and their formats with the reference lists of `kis_fields.py`.

One JSON object a line on stdout, `{"check": ..., "ok": ..., "detail": ...}`; exit 1 if any check failed, 2 if the
configuration is unusable. Orders are sent only with `--with-orders` and `--require-pages`.

What a server does not know it may leave empty, but the field must be there. The feeds of expected trades, brokers,
program trading, other exchanges and interruptions are not listened to.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import websockets
import yaml
from Crypto.Cipher import AES
from Crypto.Util.Padding import unpad

from kis_fields import FEEDS, OFTEN_MISSING, REST, fits

QUOTATIONS = "/uapi/domestic-stock/v1/quotations"
TRADING = "/uapi/domestic-stock/v1/trading"
RANKING = "/uapi/domestic-stock/v1/ranking"

# The gateway counts calls by the second: 18 real, 1 paper. A sample client simply pauses.
PAUSE_SECONDS = {"prod": 0.1, "vps": 1.05}
GROUPS = ("auth", "errors", "quotations", "rankings", "account", "orders", "limits", "feeds", "notices", "session")

# Issues to hold more of than a page of the paper balance takes; paper trading has no ranking that would name some.
WELL_KNOWN = (
    "000660 005380 000270 068270 105560 005490 035420 012330 055550 028260 051910 006400 "
    "035720 034020 009540 010130 015760 017670 033780 003670 011200 096770 247540 086520"
).split()


# ---------------------------------------------------------------------------------------------- results


@dataclass
class Results:
    """Prints a line a check and remembers whether one failed."""

    only: tuple[str, ...] = ()
    failed: int = 0
    done: int = 0

    def add(self, check: str, ok: bool, detail: Any = "") -> bool:
        print(json.dumps({"check": check, "ok": bool(ok), "detail": detail}, ensure_ascii=False), flush=True)
        self.done += 1
        self.failed += not ok
        return bool(ok)

    def run(self, check: str, body: Callable[[], Any]) -> Any:
        """One step whose exception is a failed check, so that the steps after it still run."""
        try:
            return body()
        except Exception as error:  # whatever a strange server makes a client trip over is the finding
            self.add(check, False, f"{type(error).__name__}: {error}"[:400])
            return None

    def wants(self, group: str) -> bool:
        return not self.only or any(group == name or name.startswith(group + ".") for name in self.only)

    def wants_call(self, group: str, call: str) -> bool:
        return not self.only or group in self.only or f"{group}.{call}" in self.only


# ---------------------------------------------------------------------------------------- configuration


class ConfigError(Exception):
    """The YAML file cannot be used; the text names the key."""


@dataclass(frozen=True)
class Config:
    """What one environment takes from `kis_devlp.yaml`."""

    env: str
    app_key: str
    app_secret: str
    account: str
    product: str
    hts_id: str
    agent: str
    rest: str
    ws: str
    cache: Path

    @staticmethod
    def read(path: Path, env: str) -> Config:
        with path.open(encoding="utf-8") as file:
            values = yaml.safe_load(file)
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: expected a flat YAML mapping, found {type(values).__name__}")

        def text(key: str) -> str:
            value = values.get(key)
            # Unquoted, an account or product number is a YAML number and loses its leading zeros.
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{path}: key {key!r} is {value!r}; expected a non-empty quoted text")
            return value

        real = env == "prod"
        return Config(
            env=env,
            app_key=text("my_app" if real else "paper_app"),
            app_secret=text("my_sec" if real else "paper_sec"),
            account=text("my_acct_stock" if real else "my_paper_stock"),
            product=text("my_prod"),
            hts_id=text("my_htsid"),
            agent=text("my_agent"),
            rest=text(env).rstrip("/"),
            ws=text("ops" if real else "vops").rstrip("/"),
            # One file a local date beside the configuration, for both environments.
            cache=path.parent / f"KIS{datetime.now():%Y%m%d}",
        )


# ------------------------------------------------------------------------------------------------- REST


@dataclass
class Answer:
    """One answer, its KIS headers picked out by being all lower case."""

    status: int
    headers: dict[str, str]
    standard: dict[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("msg_cd", ""))

    @property
    def ok(self) -> bool:
        return self.body.get("rt_cd") == "0"

    def brief(self) -> str:
        rest = {k: v for k, v in self.body.items() if not k.startswith("output")}
        return f"HTTP {self.status} {json.dumps(rest, ensure_ascii=False)[:300]}"


def answer_of(response: requests.Response) -> Answer:
    """The answer behind a response; a body that is not JSON becomes an empty one."""
    # `headers.items()` keeps the spelling of the wire; only look-ups ignore case.
    names = list(response.headers.items())
    try:
        body = response.json()
    except ValueError:
        body = {}
    return Answer(
        status=response.status_code,
        headers={k: v for k, v in names if k.islower()},
        standard={k: v for k, v in names if not k.islower()},
        body=body if isinstance(body, dict) else {},
    )


class Rest:
    """Token, headers, paging and pacing of the REST side."""

    def __init__(self, config: Config, pause: float) -> None:
        self.config = config
        self.pause = pause
        self.token = ""
        self.http = requests.Session()

    def base_headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Accept": "text/plain",
            "charset": "UTF-8",
            "User-Agent": self.config.agent,
        }

    def headers(self, tr_id: str, tr_cont: str) -> dict[str, str]:
        return self.base_headers() | {
            "authorization": f"Bearer {self.token}",
            "appkey": self.config.app_key,
            "appsecret": self.config.app_secret,
            "tr_id": tr_id,
            "custtype": "P",
            "tr_cont": tr_cont,
        }

    def post(self, path: str, body: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        all_headers = self.base_headers() | (headers or {})
        # The body goes as text with the content type in the header, not by the library's JSON mode.
        sent = self.http.post(self.config.rest + path, data=json.dumps(body), headers=all_headers, timeout=10)
        return answer_of(sent)

    def issue(self) -> Answer:
        key = {"appkey": self.config.app_key, "appsecret": self.config.app_secret}
        return self.post("/oauth2/tokenP", {"grant_type": "client_credentials"} | key)

    def cached_token(self) -> str | None:
        """Today's token of the cache file while its date lies ahead."""
        if not self.config.cache.exists():
            return None
        saved = yaml.safe_load(self.config.cache.read_text(encoding="utf-8"))
        if not isinstance(saved, dict) or not isinstance(saved.get("valid-date"), datetime):
            return None
        return str(saved["token"]) if saved["valid-date"] > datetime.now() else None

    def save(self, answer: Answer) -> None:
        # Parsing first makes sure that a date of another form never reaches the file.
        until = datetime.strptime(answer.body["access_token_token_expired"], "%Y-%m-%d %H:%M:%S")
        text = f"token: {answer.body['access_token']}\nvalid-date: {until}\n"
        self.config.cache.write_text(text, encoding="utf-8")

    def tr(self, real: str) -> str:
        """The TR ID of the environment: account and order TRs begin with V in paper trading."""
        return "V" + real[1:] if self.config.env == "vps" and real[0] in "TJC" else real

    def get(self, path: str, tr_id: str, params: dict[str, str], tr_cont: str = "") -> Answer:
        answer = self.once(path, tr_id, params, tr_cont)
        if answer.code in ("EGW00121", "EGW00123"):
            # The cached token belongs to another server or has run out: a new one, once.
            self.config.cache.unlink(missing_ok=True)
            issued = self.issue()
            if issued.status == 200:
                self.token = issued.body["access_token"]
                self.save(issued)
                answer = self.once(path, tr_id, params, tr_cont)
        if answer.code == "EGW00201":
            time.sleep(1.1)
            answer = self.once(path, tr_id, params, tr_cont)
        return answer

    def once(self, path: str, tr_id: str, params: dict[str, str], tr_cont: str = "") -> Answer:
        time.sleep(self.pause)
        headers = self.headers(self.tr(tr_id), tr_cont)
        return answer_of(self.http.get(self.config.rest + path, headers=headers, params=params, timeout=10))

    def account(self) -> dict[str, str]:
        return {"CANO": self.config.account, "ACNT_PRDT_CD": self.config.product}

    def order(self, name: str, tr_id: str, body: dict[str, str]) -> Answer:
        time.sleep(self.pause)
        return self.post(f"{TRADING}/{name}", body, self.headers(self.tr(tr_id), ""))


# --------------------------------------------------------------------------------------- checks of form


def form_of_answer(results: Results, name: str, answer: Answer, tr_id: str, envelope_first: bool = False) -> bool:
    """Status, KIS headers in lower case, standard headers capitalised, envelope of texts."""
    if not results.add(f"{name}.status", answer.status == 200 and answer.ok, answer.brief()):
        return False
    wrong = [h for h in ("tr_id", "tr_cont", "gt_uid") if h not in answer.headers]
    if answer.headers.get("tr_id") != tr_id:
        wrong.append(f"tr_id is {answer.headers.get('tr_id')!r}, sent {tr_id!r}")
    content_type = answer.standard.get("Content-Type")
    if content_type != "application/json; charset=utf-8":
        wrong.append(f"Content-Type is {content_type!r}")
    wrong += [h for h in ("content-length", "date") if h in answer.headers]
    results.add(f"{name}.headers", not wrong, wrong or answer.headers)

    wrong = [k for k in ("rt_cd", "msg_cd", "msg1") if not isinstance(answer.body.get(k), str)]
    if len(answer.code) > 8:
        wrong.append("msg_cd is longer than 8")
    if len(answer.body.get("msg1", "").rstrip().encode("utf-8")) > 80 * 2:
        wrong.append("msg1 is longer than the 80 bytes of the vendor's code page")
    names = list(answer.body)
    # Paging keys, outputs, then the three members of the envelope; an order is answered with the envelope in front.
    envelope = ["rt_cd", "msg_cd", "msg1"]
    outputs = [k for k in names if k not in envelope]
    outputs.sort(key=lambda k: not k.startswith("ctx"))
    expected = envelope + outputs if envelope_first else outputs + envelope
    if names != expected:
        wrong.append(f"order of the members is {names}, expected {expected}")
    results.add(f"{name}.envelope", not wrong, wrong or names)
    return True


def form_of_rows(results: Results, name: str, rows: list[dict[str, Any]], call: str, output: str) -> None:
    """Field names, their order, their types and formats, over all rows of one output."""
    expected = REST[(call, output)]
    formats = dict(expected)
    unknown: set[str] = set()
    missing: set[str] = set()
    bad: list[str] = []
    disordered = ""
    for row in rows:
        unknown |= row.keys() - formats.keys()
        missing |= formats.keys() - row.keys() - OFTEN_MISSING
        known = [key for key in row if key in formats]
        wanted = [key for key, _ in expected if key in row]
        if known != wanted and not disordered:
            at = next(i for i, (a, b) in enumerate(zip(known, wanted, strict=True)) if a != b)
            disordered = f"field {at} is {known[at]}, the reference has {wanted[at]}"
        for key, value in row.items():
            if not isinstance(value, str):
                bad.append(f"{key} is a {type(value).__name__}, not a text")
            elif key in formats and not fits(formats[key], value):
                bad.append(f"{key}={value!r} is not {formats[key]}")
    detail: dict[str, Any] = {"rows": len(rows), "fields": len(rows[0]) if rows else 0, "of": len(expected)}
    if unknown:
        detail["unknown"] = sorted(unknown)
    if missing:
        detail["missing"] = [key for key, _ in expected if key in missing]
    results.add(f"{name}.{output}.fields", not unknown and not missing, detail)
    results.add(f"{name}.{output}.order", not disordered, disordered)
    results.add(f"{name}.{output}.values", not bad, sorted(set(bad))[:12])


def shape(results: Results, name: str, answer: Answer, call: str, shapes: dict[str, type]) -> dict[str, Any] | None:
    """Objects and arrays where the reference has them, then the rows inside."""
    outputs = [key for key in answer.body if key.startswith("output")]
    wrong = [
        f"{key} is {type(answer.body.get(key)).__name__}, expected {kind.__name__}"
        for key, kind in shapes.items()
        if not isinstance(answer.body.get(key), kind)
    ]
    wrong += [f"unexpected {key}" for key in outputs if key not in shapes]
    if not results.add(f"{name}.shape", not wrong, wrong or outputs):
        return None
    for key in shapes:
        value = answer.body[key]
        form_of_rows(results, name, value if isinstance(value, list) else [value], call, key)
    return answer.body


# ------------------------------------------------------------------------------------------- REST calls


def price_query(symbol: str, market: str = "J") -> dict[str, str]:
    return {"FID_COND_MRKT_DIV_CODE": market, "FID_INPUT_ISCD": symbol}


@dataclass
class Run:
    """What the checks share."""

    config: Config
    rest: Rest
    results: Results
    symbol: str
    index: str
    seconds: float
    with_orders: bool
    require_pages: bool
    trade_columns: int
    book_columns: int
    day: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def paper(self) -> bool:
        return self.config.env == "vps"


def call(run: Run, group: str, name: str, path: str, tr_id: str, params: dict[str, str], shapes: dict[str, type],
         real_only: bool = False) -> dict[str, Any] | None:
    """One call and every check of its form; its body when the form allows to look further."""
    if not run.results.wants_call(group, name):
        return None
    label = f"{group}.{name}"

    def body() -> dict[str, Any] | None:
        answer = run.rest.get(f"{path}/{name}", tr_id, params)
        if real_only and run.paper:
            # A TR that only begins with V where paper trading has none is unknown there.
            refused = (answer.status, answer.code) == (200, "OPSQ0002") if tr_id[0] in "TJC" else (
                answer.status == 500 and answer.code in ("EGW02004", "EGW02006"))
            run.results.add(f"{label}.refused-in-paper", refused, answer.brief())
            return None
        if not form_of_answer(run.results, label, answer, run.rest.tr(tr_id)):
            return None
        return shape(run.results, label, answer, name, shapes)

    return run.results.run(label, body)


def auth(run: Run) -> bool:
    """Gets a token as a user's program does: from the cache file, else from the server."""
    results, rest = run.results, run.rest
    cached = results.run("auth.cache", rest.cached_token)
    if cached:
        rest.token = cached
        # The cached token may belong to an earlier server; a cheap call finds out and renews it.
        rest.get(f"{QUOTATIONS}/inquire-price", "FHKST01010100", price_query(run.symbol))
        results.add("auth.cache", True, f"token of {run.config.cache.name} used")
        return True
    answer = results.run("auth.tokenP", rest.issue)
    if answer is None:
        return False
    if not results.add("auth.tokenP.status", answer.status == 200 and "access_token" in answer.body,
                       f"HTTP {answer.status} {sorted(answer.body)}"):
        return False
    wrong = []
    if not isinstance(answer.body["access_token"], str) or len(answer.body["access_token"]) > 350:
        wrong.append("access_token is not a text of at most 350")
    if answer.body.get("token_type") != "Bearer":
        wrong.append(f"token_type is {answer.body.get('token_type')!r}")
    life = answer.body.get("expires_in")
    if not isinstance(life, int) or not 0 < life <= 86400:
        wrong.append(f"expires_in is {life!r}, expected a number of seconds, at most 86400")
    if "rt_cd" in answer.body:
        wrong.append("an envelope where none belongs")
    results.add("auth.tokenP.form", not wrong, wrong)
    rest.token = answer.body["access_token"]
    results.run("auth.tokenP.expiry", lambda: rest.save(answer))
    results.add("auth.cache.reads-back", rest.cached_token() == rest.token,
                f"{run.config.cache.name}: valid-date {answer.body.get('access_token_token_expired')}")
    again = rest.issue()
    same = again.body.get("access_token") == rest.token
    refused = again.status == 403 and again.body.get("error_code") == "EGW00133"
    results.add("auth.tokenP.again", same or refused, f"HTTP {again.status} {'same token' if same else again.body}")
    return True


def auth_refusals(run: Run) -> None:
    """Failures of the authentication calls have a body of their own, with HTTP 403."""
    key, secret = run.config.app_key, run.config.app_secret
    cases = {
        "wrong-key": ({"appkey": "X" * 36, "appsecret": secret}, ("EGW00103",)),
        "wrong-secret": ({"appkey": key, "appsecret": "X" * 180}, ("EGW00105",)),
        "no-grant": ({"grant_type": "", "appkey": key, "appsecret": secret}, ("EGW00115",)),
        "other-grant": ({"grant_type": "password", "appkey": key, "appsecret": secret}, ("EGW00116",)),
    }
    for name, (fields, codes) in cases.items():
        def refused(fields: dict[str, str] = fields, codes: tuple[str, ...] = codes, name: str = name) -> None:
            answer = run.rest.post("/oauth2/tokenP", {"grant_type": "client_credentials"} | fields)
            right = answer.status == 403 and answer.body.get("error_code") in codes
            right = right and isinstance(answer.body.get("error_description"), str)
            run.results.add(f"auth.tokenP.{name}", right, f"HTTP {answer.status} {answer.body}")
        run.results.run(f"auth.tokenP.{name}", refused)

    def hash_key() -> None:
        headers = {"appkey": key, "appsecret": secret}
        answer = run.rest.post("/uapi/hashkey", {"CANO": run.config.account, "ORD_QTY": "1"}, headers)
        right = answer.status == 200 and isinstance(answer.body.get("HASH"), str)
        right = right and ("BODY" in answer.body or "JsonBody" in answer.body)
        run.results.add("auth.hashkey", right, f"HTTP {answer.status} {answer.body}")
    run.results.run("auth.hashkey", hash_key)


def errors(run: Run) -> None:
    """Asks wrongly on purpose."""
    results, rest = run.results, run.rest
    path, tr_id = f"{QUOTATIONS}/inquire-price", "FHKST01010100"

    def expect(name: str, answer: Answer, status: int, codes: tuple[str, ...], text: str = "") -> None:
        right = answer.status == status and answer.code in codes and text in str(answer.body.get("msg1", ""))
        right = right and not answer.ok and all(isinstance(answer.body.get(k), str) for k in ("rt_cd", "msg1"))
        results.add(f"errors.{name}", right, f"{answer.brief()}; expected HTTP {status} {codes}")

    def all_of_them() -> None:
        expect("missing-parameter", rest.get(path, tr_id, {"FID_COND_MRKT_DIV_CODE": "J"}), 200, ("OPSQ2001",), "FID_INPUT_ISCD")
        expect("wrong-market", rest.get(path, tr_id, price_query(run.symbol, "Z")), 200, ("OPSQ2001",), "MRKT_DIV_CODE")
        expect("value-too-long", rest.get(path, tr_id, price_query("0059300059300")), 200, ("OPSQ2002",))
        expect("unknown-tr", rest.get(path, "FHKST99999999", price_query(run.symbol)), 200, ("OPSQ0002",))
        lower = {key.lower(): value for key, value in price_query(run.symbol).items()}
        answer = rest.get(path, tr_id, lower)
        results.add("errors.lower-case-query-is-fine", answer.ok, answer.brief())
        missing = rest.once("/uapi/domestic-stock/v1/quotations/no-such-call", tr_id, {})
        results.add("errors.unknown-path", missing.status == 404, f"HTTP {missing.status}")
        token, rest.token = rest.token, "eyJ0eXAiOiJKV1QifQ.none.none"
        try:
            expect("wrong-token", rest.once(path, tr_id, price_query(run.symbol)), 500, ("EGW00121",))
        finally:
            rest.token = token
        other = "TTTC8434R" if run.paper else "VTTC8434R"
        # `once` would turn the first letter; the TR of the other environment must arrive as it is.
        sent = rest.http.get(run.config.rest + f"{TRADING}/inquire-balance", headers=rest.headers(other, ""),
                             params=balance_query(run), timeout=10)
        expect("tr-of-the-other-environment", answer_of(sent), 500, ("EGW02004",))

    results.run("errors", all_of_them)


def limits(run: Run) -> None:
    """More calls in a second than the gateway allows, from several threads as a careless program would."""
    allowed = 1 if run.paper else 18

    def burst() -> None:
        headers = run.rest.headers("FHKST01010100", "")
        url = f"{run.config.rest}{QUOTATIONS}/inquire-price"

        def ask(_: int) -> Answer:
            return answer_of(requests.get(url, headers=headers, params=price_query(run.symbol), timeout=10))

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(2 * allowed + 10)))
        refused = [a for a in answers if a.code == "EGW00201"]
        right = bool(refused) and all(a.status == 500 and a.body.get("rt_cd") == "1" for a in refused)
        run.results.add("limits.calls-a-second", right, f"{len(answers)} calls at once, {len(refused)} refused by EGW00201")
        time.sleep(1.1)
        after = run.rest.once(f"{QUOTATIONS}/inquire-price", "FHKST01010100", price_query(run.symbol))
        run.results.add("limits.recovers", after.ok, after.brief())

    run.results.run("limits", burst)


def newest_first(rows: list[dict[str, str]], *keys: str) -> bool:
    stamps = ["".join(row[key] for key in keys) for row in rows]
    return stamps == sorted(stamps, reverse=True)


def bars_make_sense(rows: list[dict[str, str]], close: str) -> list[str]:
    """Rows whose low and high do not enclose open and close."""
    wrong = []
    for row in rows:
        o, h, lo, c = (int(row[k]) for k in ("stck_oprc", "stck_hgpr", "stck_lwpr", close))
        if not lo <= min(o, c) <= max(o, c) <= h:
            wrong.append(f"{row.get('stck_bsop_date')} {row.get('stck_cntg_hour', '')} {o} {h} {lo} {c}")
    return wrong


def quotations(run: Run) -> None:
    add, query = run.results.add, price_query(run.symbol)
    group = "quotations"

    body = call(run, group, "inquire-price", QUOTATIONS, "FHKST01010100", query, {"output": dict})
    if body:
        p = {k: v for k, v in body["output"].items()}
        price, base = int(p["stck_prpr"]), int(p["stck_sdpr"])
        inside = int(p["stck_llam"]) <= price <= int(p["stck_mxpr"])
        add("quotations.inquire-price.sense", inside and int(p["prdy_vrss"]) == price - base,
            f"price {price}, base {base}, change {p['prdy_vrss']}, limits {p['stck_llam']} to {p['stck_mxpr']}")

    body = call(run, group, "inquire-ccnl", QUOTATIONS, "FHKST01010300", query, {"output": list})
    if body:
        rows = body["output"]
        add("quotations.inquire-ccnl.sense", 0 < len(rows) <= 30 and newest_first(rows, "stck_cntg_hour"), f"{len(rows)} rows")

    daily = query | {"FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "0"}
    body = call(run, group, "inquire-daily-price", QUOTATIONS, "FHKST01010400", daily, {"output": list})
    if body:
        rows = body["output"]
        right = 0 < len(rows) <= 30 and newest_first(rows, "stck_bsop_date") and not bars_make_sense(rows, "stck_clpr")
        add("quotations.inquire-daily-price.sense", right, f"{len(rows)} rows, newest {rows[0]['stck_bsop_date'] if rows else '-'}")
        for period in "WM":
            answer = run.rest.get(f"{QUOTATIONS}/inquire-daily-price", "FHKST01010400", daily | {"FID_PERIOD_DIV_CODE": period})
            rows = answer.body.get("output") or []
            add(f"quotations.inquire-daily-price.period-{period}", answer.ok and len(rows) > 1, f"{answer.brief()} rows {len(rows)}")

    day = run.day or f"{datetime.now():%Y%m%d}"
    first = f"{datetime.strptime(day, '%Y%m%d') - timedelta(days=365):%Y%m%d}"
    chart = query | {"FID_INPUT_DATE_1": first, "FID_INPUT_DATE_2": day, "FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "0"}
    shapes = {"output1": dict, "output2": list}
    body = call(run, group, "inquire-daily-itemchartprice", QUOTATIONS, "FHKST03010100", chart, shapes)
    if body:
        rows = body["output2"]
        wrong = bars_make_sense(rows, "stck_clpr")
        add("quotations.inquire-daily-itemchartprice.sense",
            0 < len(rows) <= 100 and newest_first(rows, "stck_bsop_date") and not wrong, wrong[:3] or f"{len(rows)} rows")
        if rows:
            # This call pages by its last date: the day before the oldest row.
            last = datetime.strptime(rows[-1]["stck_bsop_date"], "%Y%m%d") - timedelta(days=1)
            answer = run.rest.get(f"{QUOTATIONS}/inquire-daily-itemchartprice", "FHKST03010100",
                                  chart | {"FID_INPUT_DATE_2": f"{last:%Y%m%d}"})
            older = [row["stck_bsop_date"] for row in answer.body.get("output2", []) if row]
            add("quotations.inquire-daily-itemchartprice.older", answer.ok and all(d <= f"{last:%Y%m%d}" for d in older),
                f"{len(older)} rows up to {last:%Y%m%d}")

    minute = {"FID_ETC_CLS_CODE": ""} | query | {"FID_INPUT_HOUR_1": "153000", "FID_PW_DATA_INCU_YN": "N"}
    body = call(run, group, "inquire-time-itemchartprice", QUOTATIONS, "FHKST03010200", minute, shapes)
    if body:
        rows = body["output2"]
        wrong = bars_make_sense(rows, "stck_prpr") + [r["stck_cntg_hour"] for r in rows if r["stck_cntg_hour"][4:] != "00"]
        add("quotations.inquire-time-itemchartprice.sense",
            0 < len(rows) <= 30 and newest_first(rows, "stck_bsop_date", "stck_cntg_hour") and not wrong, wrong[:3] or f"{len(rows)} rows")

    past = query | {"FID_INPUT_HOUR_1": "153000", "FID_INPUT_DATE_1": day, "FID_PW_DATA_INCU_YN": "N", "FID_FAKE_TICK_INCU_YN": ""}
    name = "inquire-time-dailychartprice"
    # The same fields as the call for today.
    for output in shapes:
        REST[(name, output)] = REST[("inquire-time-itemchartprice", output)]
    body = call(run, group, name, QUOTATIONS, "FHKST03010230", past, shapes, real_only=True)
    if body:
        rows = body["output2"]
        add(f"quotations.{name}.sense", 0 < len(rows) <= 120 and newest_first(rows, "stck_bsop_date", "stck_cntg_hour"), f"{len(rows)} rows")

    body = call(run, group, "inquire-asking-price-exp-ccn", QUOTATIONS, "FHKST01010200", query, {"output1": dict, "output2": dict})
    if body:
        book = body["output1"]
        sums = {side: sum(int(book[f"{side}_rsqn{i}"]) for i in range(1, 11)) for side in ("askp", "bidp")}
        right = all(sums[s] == int(book[f"total_{s}_rsqn"]) for s in sums)
        crossed = int(book["askp1"]) and int(book["bidp1"]) and int(book["askp1"]) <= int(book["bidp1"])
        add("quotations.inquire-asking-price-exp-ccn.sense", right and not crossed, f"sums {sums}, best {book['bidp1']}/{book['askp1']}")

    call(run, group, "inquire-index-price", QUOTATIONS, "FHPUP02100000", price_query(run.index, "U"), {"output": dict}, real_only=True)

    calendar = {"BASS_DT": day, "CTX_AREA_NK": "", "CTX_AREA_FK": ""}
    body = call(run, group, "chk-holiday", QUOTATIONS, "CTCA0903R", calendar, {"output": list}, real_only=True)
    if body:
        rows = body["output"]
        dates = [datetime.strptime(row["bass_dt"], "%Y%m%d") for row in rows]
        running = all(b - a == timedelta(days=1) for a, b in zip(dates, dates[1:], strict=False))
        # 01 is Sunday.
        names = all(int(row["wday_dvsn_cd"]) == d.isoweekday() % 7 + 1 for row, d in zip(rows, dates, strict=True))
        closed = all(row["opnd_yn"] == "N" for row, d in zip(rows, dates, strict=True) if d.isoweekday() > 5)
        keys = all(len(body.get(k, "")) == 20 for k in ("ctx_area_nk", "ctx_area_fk"))
        add("quotations.chk-holiday.sense", rows[0]["bass_dt"] == day and running and names and closed and keys,
            f"{len(rows)} days from {rows[0]['bass_dt']}, in a row {running}, weekdays {names}, week-ends closed {closed}, keys of 20 {keys}")

    vi = {
        "FID_DIV_CLS_CODE": "0", "FID_COND_SCR_DIV_CODE": "20139", "FID_MRKT_CLS_CODE": "0", "FID_INPUT_ISCD": "",
        "FID_RANK_SORT_CLS_CODE": "0", "FID_INPUT_DATE_1": day, "FID_TRGT_CLS_CODE": "", "FID_TRGT_EXLS_CLS_CODE": "",
    }
    call(run, group, "inquire-vi-status", QUOTATIONS, "FHPST01390000", vi, {"output": list}, real_only=True)


def rankings(run: Run) -> None:
    volume = {
        "FID_COND_MRKT_DIV_CODE": "J", "FID_COND_SCR_DIV_CODE": "20171", "FID_INPUT_ISCD": "0000", "FID_DIV_CLS_CODE": "0",
        "FID_BLNG_CLS_CODE": "0", "FID_TRGT_CLS_CODE": "111111111", "FID_TRGT_EXLS_CLS_CODE": "0000000000",
        "FID_INPUT_PRICE_1": "", "FID_INPUT_PRICE_2": "", "FID_VOL_CNT": "", "FID_INPUT_DATE_1": "",
    }
    value = {
        "fid_input_price_2": "", "fid_cond_mrkt_div_code": "J", "fid_cond_scr_div_code": "20174", "fid_div_cls_code": "0",
        "fid_input_iscd": "0000", "fid_trgt_cls_code": "0", "fid_trgt_exls_cls_code": "0", "fid_input_price_1": "", "fid_vol_cnt": "",
    }
    for name, path, tr_id, query, by in (
        ("volume-rank", QUOTATIONS, "FHPST01710000", volume, "acml_vol"),
        ("market-cap", RANKING, "FHPST01740000", value, "stck_avls"),
    ):
        body = call(run, "rankings", name, path, tr_id, query, {"output": list}, real_only=True)
        if not body:
            continue
        rows = body["output"]
        ranks = [int(row["data_rank"]) for row in rows]
        falling = [int(row[by]) for row in rows]
        right = 0 < len(rows) <= 30 and ranks == list(range(1, len(rows) + 1)) and falling == sorted(falling, reverse=True)
        run.results.add(f"rankings.{name}.sense", right, f"{len(rows)} rows, {by} from {falling[:1]} to {falling[-1:]}")


# ---------------------------------------------------------------------------------------------- account


def balance_query(run: Run) -> dict[str, str]:
    return run.rest.account() | {
        "AFHR_FLPR_YN": "N", "OFL_YN": "", "INQR_DVSN": "02", "UNPR_DVSN": "01", "FUND_STTL_ICLD_YN": "N",
        "FNCG_AMT_AUTO_RDPT_YN": "N", "PRCS_DVSN": "00", "CTX_AREA_FK100": "", "CTX_AREA_NK100": "",
    }


def history_query(run: Run, first: str, last: str) -> dict[str, str]:
    return run.rest.account() | {
        "INQR_STRT_DT": first, "INQR_END_DT": last, "SLL_BUY_DVSN_CD": "00", "PDNO": "", "CCLD_DVSN": "00", "INQR_DVSN": "00",
        "INQR_DVSN_3": "00", "ORD_GNO_BRNO": "", "ODNO": "", "INQR_DVSN_1": "", "CTX_AREA_FK100": "", "CTX_AREA_NK100": "",
        "EXCG_ID_DVSN_CD": "KRX",
    }


def pages(run: Run, path: str, tr_id: str, params: dict[str, str], limit: int = 30) -> Iterator[Answer]:
    """The pages of a call: header `tr_cont: N` and the keys of the page before, blanks and all."""
    tr_cont = ""
    for _ in range(limit):
        answer = run.rest.get(path, tr_id, params, tr_cont)
        yield answer
        if not answer.ok or answer.headers.get("tr_cont") not in ("M", "F"):
            return
        tr_cont = "N"
        params = params | {
            "CTX_AREA_FK100": answer.body["ctx_area_fk100"],
            "CTX_AREA_NK100": answer.body["ctx_area_nk100"],
        }


def paged(run: Run, label: str, name: str, tr_id: str, params: dict[str, str], shapes: dict[str, type], rows_key: str,
          most: int) -> list[Answer]:
    """Fetches all pages and checks the form of the first and the paging of all."""
    if not run.results.wants_call("account", label):
        return []
    label = f"account.{label}"
    add = run.results.add

    def body() -> list[Answer]:
        answers = list(pages(run, f"{TRADING}/{name}", tr_id, params))
        first = answers[0]
        if not form_of_answer(run.results, label, first, run.rest.tr(tr_id)):
            return []
        if shape(run.results, label, first, name, shapes) is None:
            return []
        conts = [a.headers.get("tr_cont") for a in answers]
        right = conts[-1] in ("D", "E") and all(c in ("F", "M") for c in conts[:-1])
        counts = [len(a.body[rows_key]) for a in answers]
        right = right and all(c <= most for c in counts) and all(counts[:-1])
        widths = {len(a.body.get(k, "")) for a in answers for k in ("ctx_area_fk100", "ctx_area_nk100")}
        add(f"{label}.paging", right and widths == {100}, f"tr_cont {conts}, rows {counts}, widths of the paging keys {sorted(widths)}")
        # Orders older than three months cannot be made to order, nor 50 holdings in a small market.
        possible = "older" not in label and (run.paper or "balance" not in label)
        if run.require_pages and possible:
            add(f"{label}.more-than-one-page", len(answers) > 1, f"{len(answers)} pages")
        return answers

    return run.results.run(label, body) or []


def account(run: Run) -> None:
    add = run.results.add
    two = {"output1": list, "output2": list}
    answers = paged(run, "inquire-balance", "inquire-balance", "TTTC8434R", balance_query(run), two, "output1", 20 if run.paper else 50)
    if answers:
        holdings = [row for a in answers for row in a.body["output1"]]
        sums = answers[-1].body["output2"]
        wrong = [] if len(sums) == 1 else [f"output2 holds {len(sums)} rows, expected one"]
        for row in holdings:
            if int(row["evlu_amt"]) != int(row["prpr"]) * int(row["hldg_qty"]):
                wrong.append(f"{row['pdno']}: evlu_amt {row['evlu_amt']} is not prpr times hldg_qty")
        for row in sums:
            if int(row["tot_evlu_amt"]) != int(row["scts_evlu_amt"]) + int(row["prvs_rcdl_excc_amt"]):
                wrong.append("tot_evlu_amt is not scts_evlu_amt + prvs_rcdl_excc_amt")
            # Prices move from page to page.
            if len(answers) == 1 and int(row["evlu_amt_smtl_amt"]) != sum(int(r["evlu_amt"]) for r in holdings):
                wrong.append("evlu_amt_smtl_amt is not the sum of evlu_amt")
        add("account.inquire-balance.sense", not wrong, wrong[:5] or f"{len(holdings)} holdings")

    last = run.day or f"{datetime.now():%Y%m%d}"
    end = datetime.strptime(last, "%Y%m%d")
    month, old, older = (f"{end - timedelta(days=d):%Y%m%d}" for d in (30, 100, 190))
    for label, tr_id, first, until in (
        ("inquire-daily-ccld", "TTTC0081R", month, last),
        ("inquire-daily-ccld-older", "CTSC9215R", older, old),
    ):
        shapes = {"output1": list, "output2": dict}
        answers = paged(run, label, "inquire-daily-ccld", tr_id, history_query(run, first, until), shapes, "output1", 15 if run.paper else 100)
        if answers:
            orders = [row for a in answers for row in a.body["output1"]]
            keys = [(row["ord_dt"], row["odno"]) for row in orders]
            wrong = [] if len(set(keys)) == len(keys) else ["an order stands on two pages"]
            for row in orders:
                parts = sum(int(row[k] or 0) for k in ("tot_ccld_qty", "rmn_qty", "cncl_cfrm_qty", "rjct_qty"))
                if parts != int(row["ord_qty"]) and not row["orgn_odno"].strip("0 "):
                    wrong.append(f"order {row['odno']}: filled + open + cancelled + refused is {parts}, ordered {row['ord_qty']}")
            add(f"account.{label}.sense", not wrong, wrong[:5] or f"{len(orders)} orders on {len(answers)} pages")

    power = run.rest.account() | {
        "PDNO": run.symbol, "ORD_UNPR": "", "ORD_DVSN": "01", "CMA_EVLU_AMT_ICLD_YN": "N", "OVRS_ICLD_YN": "N",
    }
    body = call(run, "account", "inquire-psbl-order", TRADING, "TTTC8908R", power, {"output": dict})
    if body:
        out = body["output"]
        most = int(out["nrcvb_buy_qty"]) * int(out["psbl_qty_calc_unpr"] or 0)
        add("account.inquire-psbl-order.sense", most <= int(out["nrcvb_buy_amt"]),
            f"{out['nrcvb_buy_qty']} shares at {out['psbl_qty_calc_unpr']} within {out['nrcvb_buy_amt']} won")

    opened = run.rest.account() | {"INQR_DVSN_1": "0", "INQR_DVSN_2": "0", "CTX_AREA_FK100": "", "CTX_AREA_NK100": ""}
    if run.paper:
        call(run, "account", "inquire-psbl-rvsecncl", TRADING, "TTTC0084R", opened, {"output": list}, real_only=True)
    else:
        paged(run, "inquire-psbl-rvsecncl", "inquire-psbl-rvsecncl", "TTTC0084R", opened, {"output": list}, "output", 50)

    if run.results.wants_call("account", "wrong-account"):
        answer = run.results.run("account.wrong-account", lambda: run.rest.get(
            f"{TRADING}/inquire-balance", "TTTC8434R", balance_query(run) | {"CANO": "99999999"}))
        if answer is not None:
            refused = answer.status == 200 and answer.code in ("OPSQ2000", "APAC0081") and answer.body.get("rt_cd") in ("2", "7")
            add("account.wrong-account", refused, answer.brief())


def buy(run: Run, symbol: str, price: str) -> Answer:
    """Buys one share, at the market if the price is 0."""
    body = run.rest.account() | {
        "PDNO": symbol, "ORD_DVSN": "01" if price == "0" else "00", "ORD_QTY": "1", "ORD_UNPR": price,
        "EXCG_ID_DVSN_CD": "KRX", "SLL_TYPE": "", "CNDT_PRIC": "",
    }
    return run.rest.order("order-cash", "TTTC0012U", body)


def low_price(run: Run) -> str:
    """The lower limit of the day, at which a purchase waits."""
    answer = run.rest.get(f"{QUOTATIONS}/inquire-price", "FHKST01010100", price_query(run.symbol))
    return str(answer.body["output"]["stck_llam"])


def fill_pages(run: Run) -> None:
    """Orders enough for a second page of history (real 100 rows, paper 15), of open orders (real 50) and of the paper
    balance (20). A real balance has a second page beyond 50 holdings, more than a small market has issues."""

    def steps() -> None:
        if not run.paper:
            low = low_price(run)
            refused = [a.brief() for a in (buy(run, run.symbol, low) for _ in range(101)) if not a.ok]
            run.results.add("pages.orders", not refused, refused[:3])
            return
        refused = [a.brief() for a in (buy(run, symbol, "0") for symbol in WELL_KNOWN) if not a.ok]
        run.results.add("pages.orders", not refused, refused[:3])
        held: list[Any] = []
        end = time.monotonic() + run.seconds
        while len(held) < 21 and time.monotonic() < end:
            found = pages(run, f"{TRADING}/inquire-balance", "TTTC8434R", balance_query(run))
            held = [row for answer in found for row in answer.body.get("output1", [])]
            time.sleep(0.1)
        run.results.add("pages.holdings", len(held) >= 21, f"{len(held)} holdings of {len(WELL_KNOWN)} bought")

    run.results.run("pages", steps)


def orders(run: Run) -> None:
    """Buys one share, sends a limit order far below the market and cancels it."""
    rest, add = run.rest, run.results.add

    def steps() -> None:
        low = low_price(run)
        market, limit = buy(run, run.symbol, "0"), buy(run, run.symbol, low)
        for name, answer in (("market", market), ("limit", limit)):
            if form_of_answer(run.results, f"orders.{name}", answer, rest.tr("TTTC0012U"), envelope_first=True):
                shape(run.results, f"orders.{name}", answer, "order-cash", {"output": dict})
        if limit.ok:
            out = limit.body["output"]
            cancel = rest.account() | {
                "KRX_FWDG_ORD_ORGNO": out["KRX_FWDG_ORD_ORGNO"], "ORGN_ODNO": out["ODNO"], "ORD_DVSN": "00",
                "RVSE_CNCL_DVSN_CD": "02", "ORD_QTY": "0", "ORD_UNPR": "0", "QTY_ALL_ORD_YN": "Y", "EXCG_ID_DVSN_CD": "KRX",
            }
            answer = rest.order("order-rvsecncl", "TTTC0013U", cancel)
            add("orders.cancel", answer.ok and "ODNO" in (answer.body.get("output") or {}), answer.brief())
        huge = rest.order("order-cash", "TTTC0012U", rest.account() | {
            "PDNO": run.symbol, "ORD_DVSN": "00", "ORD_QTY": "9999999", "ORD_UNPR": low, "EXCG_ID_DVSN_CD": "KRX",
            "SLL_TYPE": "", "CNDT_PRIC": "",
        })
        add("orders.too-much", huge.status == 200 and huge.code == "APBK0952", huge.brief())

    run.results.run("orders", steps)


# ------------------------------------------------------------------------------------------------ feeds


def approval(run: Run) -> str:
    body = {"grant_type": "client_credentials", "appkey": run.config.app_key, "secretkey": run.config.app_secret}
    answer = run.rest.post("/oauth2/Approval", body)
    key = answer.body.get("approval_key", "")
    run.results.add("feeds.approval", answer.status == 200 and 0 < len(key) <= 286, f"HTTP {answer.status}, {len(key)} characters")
    return key


def message(key: str, tr_type: str, tr_id: str, tr_key: str) -> str:
    header = {"content-type": "utf-8", "approval_key": key, "tr_type": tr_type, "custtype": "P"}
    return json.dumps({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}}})


def decrypt(text: str, key: str, iv: str) -> str:
    cipher = AES.new(key.encode(), AES.MODE_CBC, iv.encode())
    return unpad(cipher.decrypt(base64.b64decode(text)), AES.block_size).decode("utf-8")


@dataclass
class Session:
    """What one WebSocket session received."""

    acks: list[dict[str, Any]] = field(default_factory=list)
    frames: dict[str, list[str]] = field(default_factory=dict)
    pings: list[str] = field(default_factory=list)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    closed: str = ""

    def take(self, raw: str) -> None:
        if raw[:1] in ("0", "1"):
            parts = raw.split("|", 3)
            if len(parts) == 4:
                self.frames.setdefault(parts[1], []).append(raw)
            else:
                self.odd.append(raw[:120])
            return
        data = json.loads(raw)
        tr_id = data["header"]["tr_id"]
        if tr_id == "PINGPONG":
            self.pings.append(raw)
            return
        self.acks.append(data)
        output = data.get("body", {}).get("output")
        if output:
            self.keys[tr_id] = (output["key"], output["iv"])

    def ack(self, tr_id: str, tr_key: str, nth: int = 0) -> dict[str, Any]:
        found = [a for a in self.acks if a["header"]["tr_id"] == tr_id and a["header"]["tr_key"] == tr_key]
        return found[nth] if len(found) > nth else {}


async def listen(session: Session, ws: Any, until: Callable[[], bool], seconds: float) -> None:
    """Receives until a condition holds or the time is up; answers PINGPONG by a pong control frame."""
    end = time.monotonic() + seconds
    while not until() and (left := end - time.monotonic()) > 0:
        try:
            raw = await asyncio.wait_for(ws.recv(), left)
        except TimeoutError:
            return
        except websockets.ConnectionClosed as closed:
            session.closed = str(closed)
            return
        if not isinstance(raw, str):
            session.odd.append("a binary message")
            continue
        before = len(session.pings)
        session.take(raw)
        if len(session.pings) > before:
            await ws.pong(raw)


def records(frame: str, session: Session) -> tuple[int, list[list[str]]]:
    """Width and records of a frame; several records follow one another without another separator."""
    flag, tr_id, count, payload = frame.split("|", 3)
    if flag == "1":
        payload = decrypt(payload, *session.keys[tr_id])
    values = payload.split("^")
    width, rest = divmod(len(values), int(count))
    if rest or len(count) != 3:
        raise ValueError(f"{tr_id}: count {count!r} does not fit {len(values)} fields")
    return width, [values[i * width : (i + 1) * width] for i in range(int(count))]


def check_frames(run: Run, session: Session, tr_id: str, tr_key: str, widths: set[int]) -> list[dict[str, str]]:
    """Width, key and formats of every record of a feed, by a fixed list of columns."""
    add, frames = run.results.add, session.frames.get(tr_id, [])
    label = f"feeds.{tr_id}"
    if not add(f"{label}.frames", bool(frames), f"{len(frames)} frames in {run.seconds:.0f} s"):
        return []
    columns = FEEDS[tr_id]
    rows: list[dict[str, str]] = []
    seen: set[int] = set()
    bad: set[str] = set()
    for frame in frames:
        try:
            width, parts = records(frame, session)
        except ValueError as error:
            bad.add(str(error))
            continue
        seen.add(width)
        for part in parts:
            bad |= {f"{name}={value!r} is not {fmt}" for (name, fmt), value in zip(columns, part, strict=False) if not fits(fmt, value)}
            rows.append({name: value for (name, _), value in zip(columns, part, strict=False)})
    add(f"{label}.width", seen == (seen & widths) and len(seen) == 1, f"{sorted(seen)} fields, expected one of {sorted(widths)}")
    add(f"{label}.values", not bad, sorted(bad)[:10])
    keys = {row[columns[0][0]] for row in rows}
    add(f"{label}.key", tr_id == "H0STCNI0" or keys == {tr_key}, sorted(keys))
    return rows


def check_trades(run: Run, rows: list[dict[str, str]]) -> None:
    """How the fields of one record and of consecutive records hang together."""
    wrong: list[str] = []
    for row in rows:
        if int(row["NTBY_CNTG_CSNU"]) != int(row["SHNU_CNTG_CSNU"]) - int(row["SELN_CNTG_CSNU"]):
            wrong.append("NTBY_CNTG_CSNU is not buys less sells")
        if int(row["SELN_CNTG_SMTN"]) + int(row["SHNU_CNTG_SMTN"]) > int(row["ACML_VOL"]):
            wrong.append("sold and bought exceed ACML_VOL")
        if row["CCLD_DVSN"] not in "135":
            wrong.append(f"CCLD_DVSN is {row['CCLD_DVSN']!r}")
    for a, b in zip(rows, rows[1:], strict=False):
        size, price = int(b["CNTG_VOL"]), int(b["STCK_PRPR"])
        if int(b["ACML_VOL"]) - int(a["ACML_VOL"]) != size:
            wrong.append(f"{b['STCK_CNTG_HOUR']}: ACML_VOL does not grow by CNTG_VOL")
        if int(b["ACML_TR_PBMN"]) - int(a["ACML_TR_PBMN"]) != size * price:
            wrong.append(f"{b['STCK_CNTG_HOUR']}: ACML_TR_PBMN does not grow by price times size")
    run.results.add("feeds.H0STCNT0.sense", not wrong, sorted(set(wrong))[:6] or f"{len(rows)} trades")


def check_books(run: Run, rows: list[dict[str, str]]) -> None:
    wrong: list[str] = []
    for row in rows:
        for side in ("ASKP", "BIDP"):
            if sum(int(row[f"{side}_RSQN{i}"]) for i in range(1, 11)) != int(row[f"TOTAL_{side}_RSQN"]):
                wrong.append(f"TOTAL_{side}_RSQN is not the sum of the levels")
        ask, bid = int(row["ASKP1"]), int(row["BIDP1"])
        if row["HOUR_CLS_CODE"] == "0" and ask and bid and ask <= bid:
            wrong.append(f"{row['BSOP_HOUR']}: crossed book {bid}/{ask}")
    run.results.add("feeds.H0STASP0.sense", not wrong, sorted(set(wrong))[:6] or f"{len(rows)} books")


def check_ack(run: Run, label: str, ack: dict[str, Any], codes: tuple[str, ...], encrypt: str = "N") -> bool:
    """Members and texts of an acknowledgement; IV and key come with success alone."""
    header, body = ack.get("header", {}), ack.get("body", {})
    success = body.get("rt_cd") == "0"
    output = body.get("output") or {}
    right = body.get("msg_cd") in codes and list(header) == ["tr_id", "tr_key", "encrypt"] and isinstance(body.get("msg1"), str)
    if success:
        right = right and (len(output.get("iv", "")), len(output.get("key", ""))) == (16, 32) and header.get("encrypt") == encrypt
    else:
        right = right and "output" not in body
    return run.results.add(label, right, ack or f"no acknowledgement; expected {codes}")


async def session_checks(run: Run, key: str, ws: Any, session: Session, url: str, wanted: list[tuple[str, str]]) -> None:
    """Registrations made wrongly on purpose, a second session, and PINGPONG."""

    async def ask(tr_type: str, tr_id: str, tr_key: str, approval_key: str = key) -> dict[str, Any]:
        before = len(session.acks)
        await ws.send(message(approval_key, tr_type, tr_id, tr_key))
        await listen(session, ws, lambda: len(session.acks) > before, 5)
        return session.acks[before] if len(session.acks) > before else {}

    check_ack(run, "session.subscribed-twice", await ask("1", *wanted[0]), ("OPSP0002",))
    check_ack(run, "session.unsubscribed", await ask("2", *wanted[0]), ("OPSP0001",))
    check_ack(run, "session.unsubscribed-twice", await ask("2", *wanted[0]), ("OPSP0003",))
    check_ack(run, "session.wrong-approval", await ask("1", *wanted[0], "00000000-0000-0000-0000-000000000000"), ("OPSP0011",))
    check_ack(run, "session.goes-on", await ask("1", *wanted[0]), ("OPSP0000",))
    second = Session()
    try:
        async with websockets.connect(url, ping_interval=None) as other:
            await other.send(message(key, "1", *wanted[1]))
            await listen(second, other, lambda: bool(second.acks), 5)
    except websockets.WebSocketException as error:
        second.closed = str(error)
    check_ack(run, "session.second-session", second.acks[0] if second.acks else {}, ("OPSP8996",))

    add = run.results.add
    add("session.pingpong", bool(session.pings), session.pings[:1] or f"none in {run.seconds:.0f} s")
    if session.pings:
        ping = json.loads(session.pings[0])
        right = list(ping) == ["header"] and len(session.pings[0].encode()) <= 125 and len(ping["header"].get("datetime", "")) == 14
        add("session.pingpong.form", right, session.pings[0])


async def feeds(run: Run) -> None:
    key = approval(run)
    session = Session()
    wanted = [("H0STCNT0", run.symbol), ("H0STASP0", run.symbol)]
    if not run.paper:
        wanted += [("H0UPCNT0", run.index), ("H0STMKO0", run.symbol)]
    url = run.config.ws + "/tryitout"
    async with websockets.connect(url, ping_interval=None) as ws:
        for tr_id, tr_key in wanted:
            await ws.send(message(key, "1", tr_id, tr_key))

        pinged = run.results.wants("session")

        def enough() -> bool:
            heard = all(len(session.frames.get(tr_id, [])) >= 20 for tr_id in ("H0STCNT0", "H0STASP0"))
            return heard and (bool(session.pings) or not pinged)

        await listen(session, ws, enough, run.seconds)
        for tr_id, tr_key in wanted:
            check_ack(run, f"feeds.{tr_id}.subscribed", session.ack(tr_id, tr_key), ("OPSP0000",))

        if pinged:
            # What comes while trades are unsubscribed for a moment has a gap in its sums.
            heard = {tr_id: list(frames) for tr_id, frames in session.frames.items()}
            await session_checks(run, key, ws, session, url, wanted)
            session.frames = heard
    add = run.results.add
    add("session.messages", not session.odd and not session.closed, session.odd[:3] or session.closed)
    rows = check_frames(run, session, "H0STCNT0", run.symbol, {run.trade_columns})
    if rows:
        run.results.run("feeds.H0STCNT0.sense", lambda: check_trades(run, rows))
    books = check_frames(run, session, "H0STASP0", run.symbol, {run.book_columns})
    if books:
        run.results.run("feeds.H0STASP0.sense", lambda: check_books(run, books))
    if not run.paper:
        check_frames(run, session, "H0UPCNT0", run.index, {30})
        if session.frames.get("H0STMKO0"):  # nothing comes while nothing happens
            check_frames(run, session, "H0STMKO0", run.symbol, {10, 11})


async def notices(run: Run) -> None:
    """The encrypted notices of the user's own orders; with `--with-orders` one is caused."""
    key = approval(run)
    tr_id = "H0STCNI9" if run.paper else "H0STCNI0"
    FEEDS.setdefault(tr_id, FEEDS["H0STCNI0"])
    session = Session()
    async with websockets.connect(run.config.ws + "/tryitout", ping_interval=None) as ws:
        await ws.send(message(key, "1", tr_id, run.config.hts_id))
        await listen(session, ws, lambda: bool(session.acks), 5)
        if not check_ack(run, f"notices.{tr_id}.subscribed", session.acks[0] if session.acks else {}, ("OPSP0000",), "Y"):
            return
        if run.with_orders:
            await asyncio.to_thread(orders, run)
        await listen(session, ws, lambda: len(session.frames.get(tr_id, [])) >= 2, run.seconds)
    frames = session.frames.get(tr_id, [])
    if not run.results.add(f"notices.{tr_id}.frames", bool(frames), f"{len(frames)} frames in {run.seconds:.0f} s"):
        return
    wrong: list[str] = []
    for frame in frames:
        flag, _, count, _ = frame.split("|", 3)
        width, rows = records(frame, session)
        if flag != "1" or width != 26:
            wrong.append(f"flag {flag}, {width} fields; expected 1 and 26")
        for row in rows:
            named = {name: value for (name, _), value in zip(FEEDS[tr_id], row, strict=False)}
            wrong += [f"{n}={named[n]!r} is not {f}" for n, f in FEEDS[tr_id] if n in named and not fits(f, named[n])]
            if named["CUST_ID"] != run.config.hts_id:
                wrong.append(f"CUST_ID is {named['CUST_ID']!r}")
            if named["ACNT_NO"] != run.config.account + run.config.product:
                wrong.append(f"ACNT_NO is {named['ACNT_NO']!r}")
            if named["CNTG_YN"] not in ("1", "2"):
                wrong.append(f"CNTG_YN is {named['CNTG_YN']!r}")
    run.results.add(f"notices.{tr_id}.form", not wrong, sorted(set(wrong))[:8] or f"{len(frames)} notices decrypted")


# ------------------------------------------------------------------------------------------------- main


def wait_for_trades(run: Run) -> None:
    """Waits for the first trade: a market that has just opened has nothing to rank and no bar to show."""
    end = time.monotonic() + run.seconds
    while time.monotonic() < end:
        answer = run.rest.get(f"{QUOTATIONS}/inquire-ccnl", "FHKST01010300", price_query(run.symbol))
        if answer.body.get("output"):
            return
        time.sleep(0.1)
    run.results.add("quotations.trades", False, f"{run.symbol} has not traded in {run.seconds:.0f} s")


def session_day(run: Run) -> str:
    """The day the server plays: the newest daily bar, since its calendar need not be this machine's."""
    query = price_query(run.symbol) | {"FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "0"}
    rows = run.rest.get(f"{QUOTATIONS}/inquire-daily-price", "FHKST01010400", query).body.get("output") or []
    return rows[0]["stck_bsop_date"] if rows else f"{datetime.now():%Y%m%d}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="kis_devlp.yaml")
    parser.add_argument("--env", choices=("prod", "vps"), default="prod", help="environment and its keys and hosts [prod]")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"groups ({', '.join(GROUPS)}) or group.call")
    parser.add_argument("--symbol", default="005930", help="issue to ask for [005930]")
    parser.add_argument("--index", default="0001", help="sector code of the index [0001]")
    parser.add_argument("--seconds", type=float, default=15, help="how long to listen to the feeds at most [15]")
    parser.add_argument("--pause", type=float, help="seconds before each call [what the gateway's limits ask for]")
    parser.add_argument("--trade-columns", type=int, choices=(46, 47), default=47, help="columns of H0STCNT0 [47]")
    parser.add_argument("--book-columns", type=int, choices=(59, 62, 63), default=63, help="columns of H0STASP0 [63]")
    parser.add_argument("--with-orders", action="store_true", help="send, cancel and overdo orders, and expect notices")
    parser.add_argument("--with-limits", action="store_true", help="exceed the calls a second and expect EGW00201")
    parser.add_argument("--require-pages", action="store_true", help="send orders enough for a second page, and expect it")
    options = parser.parse_args()

    try:
        config = Config.read(options.config, options.env)
    except (ConfigError, OSError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 2
    results = Results(tuple(options.only))
    pause = PAUSE_SECONDS[options.env] if options.pause is None else options.pause
    run = Run(config, Rest(config, pause), results, options.symbol, options.index, options.seconds, options.with_orders,
              options.require_pages, options.trade_columns, options.book_columns)

    if not auth(run):
        return 1
    results.run("quotations.trades", lambda: wait_for_trades(run))
    run.day = results.run("auth.session-day", lambda: session_day(run)) or ""
    if results.wants("auth"):
        auth_refusals(run)
    if options.require_pages:
        fill_pages(run)
    for group, body in (("errors", errors), ("quotations", quotations), ("rankings", rankings), ("account", account)):
        if results.wants(group):
            results.run(group, lambda body=body: body(run))
    if options.with_limits and results.wants("limits"):
        limits(run)
    if results.wants("feeds") or results.wants("session"):
        results.run("feeds", lambda: asyncio.run(feeds(run)))
    if results.wants("notices"):
        results.run("notices", lambda: asyncio.run(notices(run)))
    elif options.with_orders and results.wants("orders"):
        orders(run)
    print(f"{results.done} checks, {results.failed} failed", file=sys.stderr)
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
