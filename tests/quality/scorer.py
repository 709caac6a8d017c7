#!/usr/bin/env python3
"""Score one-day-ahead risk forecasts of single stocks.

    scorer.py --data BARS.parquet --forecasts F [--against G] [--from D] [--to D] [--json]

BARS.parquet  daily bars: date, symbol, open, high, low, close, volume, halted, jump, one row a symbol and session.
F, G          forecasts (Parquet, or CSV by the name's end): date, symbol, var, v01, v025, v05, e025, e05, all about the log
              close-to-close return of that date as plain fractions: its variance, its 1 %, 2.5 % and 5 % quantiles (negative)
              and its mean below the 2.5 % and the 5 % quantile (negative, at or below the quantile).
--from, --to  first and last target date scored; default: the dates F covers.

Scored rows: clean rows (traded today and in the session before, no corporate-action jump, return inside the daily limit)
with 500 clean rows before and a median value traded over the last 250 of at least 200 million won. A scored row F lacks, or
gives as non-finite or with a wrong sign, gets the quantiles of the symbol's last 250 returns instead and is counted as
`replaced`; a forecast for a row that is not scored is ignored.

Printed for the whole window and each half-year: losses (returns in percent), exceedance shares, coverage tests (Kupiec 1995,
Christoffersen 1998, and a z test clustered by session with a Newey-West error, since stocks fall together) and the expected
shortfall ratio. With --against, a Diebold-Mariano t clustered by session for every loss: negative favours F.
Exit status 2 and one line on stderr when an input cannot be used.
"""

import argparse
import json
import math
import sys

import numpy as np
import pandas as pd

COLUMNS = ["var", "v01", "v025", "v05", "e025", "e05"]
LEVELS = {"v01": 0.01, "v025": 0.025, "v05": 0.05}
LOSSES = ["qlike_r2", "qlike_range", "fz0_025", "fz0_05", "pinball_01", "pinball_025", "pinball_05"]
LIMIT_LOW, LIMIT_HIGH = math.log(0.695), math.log(1.305)  # the exchange's daily limit of 30 % with room for rounding
RANGE_TO_R2 = 0.86  # sum of r^2 over sum of range variance: the range also counts moves that cancel by the close
MIN_HISTORY, MIN_VALUE, FALLBACK = 500, 200e6, 250


class InputError(Exception):
    """An input file that cannot be scored; the message names the file and the fault."""


def read(path, columns):
    """A table with the given columns, `date` as datetime64[ns] and `symbol` as text."""
    try:
        if str(path).endswith(".csv"):
            table = pd.read_csv(path, dtype={"symbol": str})
        else:
            table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise InputError(f"{path}: lacks column(s) {', '.join(missing)}; expected {', '.join(columns)}")
    table = table[columns].copy()
    table["date"] = pd.to_datetime(table["date"]).astype("datetime64[ns]")
    table["symbol"] = table["symbol"].astype(str)
    twice = int(table.duplicated(["symbol", "date"]).sum())
    if twice:
        raise InputError(f"{path}: {twice} rows repeat a (symbol, date); expected one each")
    return table


def clean_rows(bars):
    """Clean rows sorted by symbol and date, with return r, range variance p and value traded."""
    b = bars.sort_values(["symbol", "date"], kind="stable").reset_index(drop=True)
    ohlc = b[["open", "high", "low", "close"]].astype(float)
    high, low = ohlc.max(axis=1), ohlc.min(axis=1)
    trades = ~b["halted"].astype(bool) & (b["volume"] > 0) & ohlc["open"].notna()
    same = b["symbol"].eq(b["symbol"].shift())
    # the row before must be the session before, not just the symbol's last row
    session = b["date"].map({d: i for i, d in enumerate(np.sort(b["date"].unique()))})
    follows = same & session.diff().eq(1) & trades.shift(fill_value=False)
    previous = ohlc["close"].shift()
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.log(ohlc["close"] / previous)
        overnight = np.log(ohlc["open"] / previous) ** 2
        inside = 0.5 * np.log(high / low) ** 2 - (2 * math.log(2) - 1) * np.log(ohlc["close"] / ohlc["open"]) ** 2
    b["r"], b["p"] = r, overnight + inside.clip(lower=0)
    b["value"] = ohlc["close"] * b["volume"].astype(float)
    keep = trades & follows & ~b["jump"].astype(bool) & r.between(LIMIT_LOW, LIMIT_HIGH)
    return b.loc[keep, ["symbol", "date", "r", "p", "value"]].reset_index(drop=True)


def scored_rows(rows, first, last):
    """Positions in `rows` that are scored: enough history and value traded, both known the day before."""
    grouped = rows.groupby("symbol", sort=False)
    before = grouped.cumcount().to_numpy()
    median = grouped["value"].transform(lambda v: v.rolling(250, min_periods=66).median().shift()).to_numpy()
    date = rows["date"].to_numpy()
    return np.flatnonzero((before >= MIN_HISTORY) & (median >= MIN_VALUE) & (date >= first) & (date <= last))


def quantile_and_tail(sample, alpha):
    """Quantile at position alpha (n + 1), linear between order statistics, and the mean of the lowest alpha n."""
    z, n = np.sort(sample), len(sample)
    at = min(max(alpha * (n + 1), 1), n)
    low = int(at)
    quantile = z[low - 1] + (at - low) * (z[min(low, n - 1)] - z[low - 1])
    whole = int(alpha * n)
    tail = (z[:whole].sum() + (alpha * n - whole) * z[whole]) / (alpha * n)
    return quantile, tail


def historical(returns):
    """The stand-in forecast from the last 250 returns, in the order of COLUMNS."""
    q = {a: quantile_and_tail(returns, a) for a in LEVELS.values()}
    return [np.mean(returns**2), q[0.01][0], q[0.025][0], q[0.05][0], q[0.025][1], q[0.05][1]]


def align(rows, at, forecasts):
    """Forecasts for the scored rows as an array (rows, 6), and how many were replaced."""
    keys = rows.loc[at, ["symbol", "date"]]
    f = keys.merge(forecasts, on=["symbol", "date"], how="left")[COLUMNS].to_numpy(dtype=float, copy=True)
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(f).all(axis=1) | (f[:, 0] <= 0) | (f[:, 1:] >= 0).any(axis=1)
    r = rows["r"].to_numpy()
    for i in np.flatnonzero(bad):
        f[i] = historical(r[at[i] - FALLBACK : at[i]])
    f[:, 0] = np.maximum(f[:, 0], 1e-6)
    f[:, 1:4] = np.minimum(f[:, 1:4], -0.001)
    f[:, 4] = np.minimum(f[:, 4], f[:, 2])
    f[:, 5] = np.minimum(f[:, 5], f[:, 3])
    return f, int(bad.sum())


def fz0(r, v, e, alpha):
    """The loss of Patton, Ziegel and Chen (2019) for value at risk v and expected shortfall e, both negative."""
    return (r <= v) * (r - v) / (alpha * e) + v / e + np.log(-e) - 1


def row_losses(r, p, f):
    """Loss of every row, returns and forecasts in percent: dict of arrays, and the range proxy x of the variance."""
    r, h, v = 100 * r, 1e4 * f[:, 0], 100 * f[:, 1:]
    x = RANGE_TO_R2 * np.maximum(p, 1e-5) * 1e4
    loss = {
        "qlike_r2": np.log(h) + r**2 / h,
        "qlike_range": x / h - np.log(x / h) - 1,
        "fz0_025": fz0(r, v[:, 1], v[:, 3], 0.025),
        "fz0_05": fz0(r, v[:, 2], v[:, 4], 0.05),
    }
    for j, (name, alpha) in enumerate(LEVELS.items()):
        loss["pinball_" + name[1:]] = (alpha - (r < v[:, j])) * (r - v[:, j])
    return loss, x


def newey_west(d):
    """Standard error of the mean of a series: Bartlett weights, 4 (T/100)^(2/9) lags."""
    t = len(d)
    lags = min(int(4 * (t / 100) ** (2 / 9)), t - 1)
    u = d - d.mean()
    s = u @ u / t + 2 * sum((1 - k / (lags + 1)) * (u[k:] @ u[:-k]) / t for k in range(1, lags + 1))
    return math.sqrt(max(s, 0) / t)


def session_means(x, session):
    """Per session the sum of x over the mean number of rows a session."""
    _, index = np.unique(session, return_inverse=True)
    sums = np.bincount(index, x)
    return sums / (len(x) / len(sums))


def ratio(a, b):
    return a / b if b > 0 else (0.0 if a == 0 else math.copysign(math.inf, a))


def normal_p(z):
    return math.erfc(abs(z) / math.sqrt(2))


def log_binomial(p, hits, n):
    miss = n - hits
    return (hits * math.log(p) if hits else 0.0) + (miss * math.log(1 - p) if miss else 0.0)


def kupiec(hits, n, p):
    """Likelihood ratio of unconditional coverage, chi-square with 1 degree of freedom."""
    return max(-2 * (log_binomial(p, hits, n) - log_binomial(hits / n, hits, n)), 0.0)


def independence(c):
    """Likelihood ratio of first-order independence from the counts c[from, to]."""
    n0, n1 = c[0].sum(), c[1].sum()
    if n0 + n1 == 0:
        return 0.0
    free = sum(log_binomial(row[1] / row.sum(), row[1], row.sum()) for row in c if row.sum())
    return max(-2 * (log_binomial(c[:, 1].sum() / (n0 + n1), c[:, 1].sum(), n0 + n1) - free), 0.0)


def chi2_p(x, degrees):
    """Upper tail of chi-square with 1 or 2 degrees of freedom."""
    return math.erfc(math.sqrt(x / 2)) if degrees == 1 else math.exp(-x / 2)


def coverage(hit, symbol, session, p):
    """Coverage tests of one level; the rows are sorted by symbol and date."""
    d = session_means(hit - p, session)
    z = ratio(d.mean(), newey_west(d))
    follow = symbol[1:] == symbol[:-1]
    code = 2 * hit[:-1] + hit[1:]
    starts = np.flatnonzero(np.r_[True, ~follow])
    counts, kup, chr_ = np.zeros((2, 2), dtype=np.int64), [], []
    for a, b in zip(starts, np.r_[starts[1:], len(hit)]):
        c = np.bincount(code[a : b - 1], minlength=4).reshape(2, 2)
        counts += c
        if b - a >= 100:
            lr = kupiec(int(hit[a:b].sum()), b - a, p)
            kup.append(chi2_p(lr, 1) > 0.05)
            chr_.append(chi2_p(lr + independence(c), 2) > 0.05)
    lr = kupiec(int(hit.sum()), len(hit), p)
    share = lambda passed: float(np.mean(passed)) if passed else None
    return {
        "exceed": float(hit.mean()), "clustered_z": z, "clustered_p": normal_p(z), "kupiec_p": chi2_p(lr, 1),
        "christoffersen_p": chi2_p(lr + independence(counts), 2), "pass_kupiec": share(kup), "pass_christoffersen": share(chr_),
    }


def summary(rows, f):
    """All figures of one window."""
    r, p = rows["r"].to_numpy(), rows["p"].to_numpy()
    symbol, session = rows["symbol"].to_numpy(), rows["date"].to_numpy()
    loss, x = row_losses(r, p, f)
    h = 1e4 * f[:, 0]
    below = r <= f[:, 2]
    out = {"rows": len(r), "symbols": len(np.unique(symbol)), "sessions": len(np.unique(session))}
    out |= {k: float(v.mean()) for k, v in loss.items()}
    out |= {"over_2x": float((h > 2 * x).mean()), "under_half": float((h < x / 2).mean()), "sum_h_over_r2": float(h.sum() / (1e4 * r @ r))}
    out["es_ratio_975"] = float(r[below].sum() / f[below, 4].sum()) if below.any() else None
    for j, (name, alpha) in enumerate(LEVELS.items()):
        out[name] = coverage((r < f[:, j + 1]).astype(np.int64), symbol, session, alpha)
    return out


def compare(rows, f, g):
    """Diebold-Mariano by session: mean loss difference f - g, t and the share of sessions f has the lower loss."""
    a, _ = row_losses(rows["r"].to_numpy(), rows["p"].to_numpy(), f)
    b, _ = row_losses(rows["r"].to_numpy(), rows["p"].to_numpy(), g)
    out = {}
    for k in LOSSES:
        d = session_means(a[k] - b[k], rows["date"].to_numpy())
        out[k] = {"difference": float(d.mean()), "t": ratio(d.mean(), newey_west(d)), "sessions_won": float((d < 0).mean())}
    return out


def half_years(rows):
    """Label and positions of each calendar half-year."""
    label = rows["date"].dt.year.astype(str) + "H" + ((rows["date"].dt.month > 6) + 1).astype(str)
    return [(k, np.flatnonzero(label == k)) for k in sorted(label.unique())]


def score(data, forecasts, against=None, first=None, last=None):
    """Everything the command prints, as a dict."""
    columns = ["date", "symbol"] + COLUMNS
    f = read(forecasts, columns)
    rows = clean_rows(read(data, ["date", "symbol", "open", "high", "low", "close", "volume", "halted", "jump"]))
    first = np.datetime64(first) if first else f["date"].min().to_datetime64()
    last = np.datetime64(last) if last else f["date"].max().to_datetime64()
    at = scored_rows(rows, first, last)
    if len(at) == 0:
        day = lambda d: str(d)[:10]
        raise InputError(f"{data}: no row to score from {day(first)} to {day(last)}; needs {MIN_HISTORY} clean rows before")
    a, replaced = align(rows, at, f)
    b = align(rows, at, read(against, columns)) if against else None
    rows = rows.loc[at].reset_index(drop=True)
    out = {"window": {"replaced": replaced} | summary(rows, a), "half_years": {}}
    if b:
        out["against"] = {"replaced": b[1], "window": compare(rows, a, b[0]), "half_years": {}}
    for k, i in half_years(rows):
        part = rows.iloc[i].reset_index(drop=True)
        out["half_years"][k] = summary(part, a[i])
        if b:
            out["against"]["half_years"][k] = compare(part, a[i], b[0][i])
    e = 100 * np.array([h["v01"]["exceed"] for h in out["half_years"].values()])
    out["spread_99"] = {"sd": float(e.std(ddof=1)) if len(e) > 1 else None, "range": float(np.ptp(e))}
    return out


def show(out):
    """The same for people: one line a window, then the tests, then the comparison."""
    w = out["window"]
    print(f"{w['rows']} rows, {w['symbols']} symbols, {w['sessions']} sessions, {w['replaced']} forecasts replaced")
    parts = {"window": w} | out["half_years"]
    names = LOSSES + ["over_2x", "under_half", "sum_h_over_r2", "es_ratio_975"]
    print(f"{'':8}" + "".join(f"{n:>14}" for n in names))
    for k, s in parts.items():
        print(f"{k:8}" + "".join(f"{s[n]:14.4f}" if s[n] is not None else f"{'-':>14}" for n in names))
    number = lambda x: f"{x:.3f}" if x is not None else "-"
    for name, alpha in LEVELS.items():
        print(f"\nexceedance {100 * alpha:g} %: share, clustered z (p), Kupiec p, Christoffersen p, symbols passing Kupiec, Christoffersen")
        for k, s in parts.items():
            c = s[name]
            print(f"{k:8} {100 * c['exceed']:7.3f} %  {c['clustered_z']:+.2f} ({c['clustered_p']:.3f})  {c['kupiec_p']:.3f}  {c['christoffersen_p']:.3f}"
                  f"  {number(c['pass_kupiec'])}  {number(c['pass_christoffersen'])}")
    if out["spread_99"]["sd"] is not None:
        print(f"\nspread of the 1 % exceedance over half-years: sd {out['spread_99']['sd']:.3f}, range {out['spread_99']['range']:.3f} points")
    if "against" in out:
        print("\nagainst the second file: loss difference, t, share of sessions won")
        for k, c in out["against"]["window"].items():
            print(f"{k:12} {c['difference']:+.5f}  {c['t']:+.2f}  {c['sessions_won']:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="daily bars, Parquet or CSV")
    parser.add_argument("--forecasts", required=True, help="forecasts to score")
    parser.add_argument("--against", help="forecasts to compare with")
    parser.add_argument("--from", dest="first", help="first target date, YYYY-MM-DD")
    parser.add_argument("--to", dest="last", help="last target date, YYYY-MM-DD")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    args = parser.parse_args()
    try:
        out = score(args.data, args.forecasts, args.against, args.first, args.last)
    except InputError as error:
        print(f"scorer: {error}", file=sys.stderr)
        return 2
    print(json.dumps(out)) if args.json else show(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
