#!/usr/bin/env python3
"""Time feature making and one pooled HAR least-squares fit with pandas and scikit-learn.

    har_pandas.py BARS.parquet... --indices INDICES.parquet

The same rows, terms and fit as har_polars.py, written as one would in pandas: each file of daily bars apart, rolling windows by
symbol, then one LinearRegression over all files' rows. Prints one JSON line: engine, rows, fitted, features_s, fit_s, wall_s
(from before the first import), peak_mib.
"""

import time

START = time.perf_counter()

import argparse
import json
import math
import resource

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

TERMS = ("lp1 lp5 lp22 lp66 lp250 lr22 lrat250 neg1 pos1 neg5 pos5 on22 zero22 lvol ltv "
         "m1 m5 m22 mneg1 mpos1 cs1 cs5 gap vix usabs").split()
FLOOR, INDEX_FLOOR = 1e-5, 1e-6


def range_variance(high, low, open_, close, previous):
    """Overnight plus Garman-Klass (1980) variance, the latter not below 0, as (overnight, sum)."""
    inside = 0.5 * np.log(high / low) ** 2 - (2 * math.log(2) - 1) * np.log(close / open_) ** 2
    overnight = np.log(open_ / previous) ** 2
    return overnight, overnight + inside.clip(lower=0)


def clean(path):
    """Sessions, rows read, and the rows that trade, follow a traded session and stay inside the daily limit."""
    ohlc = ["open", "high", "low", "close"]
    d = pd.read_parquet(path, columns=["date", "symbol", *ohlc, "volume", "halted", "jump"])
    d["date"] = pd.to_datetime(d["date"])
    d = d.sort_values(["symbol", "date"], ignore_index=True)
    trades = ~d["halted"] & (d["volume"] > 0) & d["open"].notna()
    previous = d.groupby("symbol", sort=False)["close"].shift()
    follows = trades.shift(fill_value=False) & previous.notna()
    with np.errstate(divide="ignore", invalid="ignore"):
        d["on"], d["p"] = range_variance(d[ohlc].max(axis=1), d[ohlc].min(axis=1), d["open"], d["close"], previous)
        d["r"] = np.log(d["close"] / previous)
    d["value"] = d["close"].astype(float) * d["volume"]
    keep = trades & follows & ~d["jump"] & d["r"].between(math.log(0.695), math.log(1.305))
    return np.sort(d["date"].unique()), len(d), d.loc[keep].reset_index(drop=True)


def date_terms(sessions, rows, indices):
    """The terms all symbols share on a date, from the session before and the US session dated before that."""
    k = indices[indices["series"] == "KOSPI"].sort_values("date")
    previous = k["close"].shift()
    _, p = range_variance(k["high"], k["low"], k["open"], k["close"], previous)
    r, s = np.log(k["close"] / previous), np.sqrt(p.rolling(22).mean())
    log = lambda x: np.log(x.clip(lower=INDEX_FLOOR))
    k = pd.DataFrame({"before": k["date"], "m1": log(p), "m5": log(p.rolling(5).mean()), "m22": log(p.rolling(22).mean()),
                      "mneg1": (r.clip(upper=0) / s).clip(lower=-6), "mpos1": (r.clip(lower=0) / s).clip(upper=6)})
    sp, v = (indices[indices["series"] == n].set_index("date")["close"].sort_index() for n in ("SP500", "VIX"))
    v = v.reindex(sp.index).ffill()
    us = pd.DataFrame({"vix": np.log(v), "usabs": (np.log(sp).diff().abs() * 100 * math.sqrt(252) / v.shift()).clip(upper=6)}).reset_index()
    cs = np.log(rows["p"].clip(lower=FLOOR)).groupby(rows["date"]).mean()
    cs = pd.DataFrame({"cs1": cs, "cs5": cs.rolling(5).mean()}).rename_axis("before").reset_index()
    d = pd.DataFrame({"date": sessions[1:], "before": sessions[:-1]})
    d["gap"] = np.log((d["date"] - d["before"]).dt.days)
    d = d.merge(k, on="before", how="left").merge(cs, on="before", how="left")
    us = us.rename(columns={"date": "us_date"})
    d = pd.merge_asof(d, us, left_on="before", right_on="us_date", allow_exact_matches=False)
    return d.drop(columns=["before", "us_date"])


def features(path, indices):
    """Target and terms of the rows fitted, and the number of rows read."""
    sessions, read, d = clean(path)
    dates = date_terms(sessions, d, indices)
    g = d["symbol"].values
    by = lambda x: x.groupby(g, sort=False)

    def roll(x, k, least=None, how="mean"):
        w = getattr(by(x).rolling(k, min_periods=least or k), how)()
        return by(w.reset_index(level=0, drop=True)).shift()

    p, r = d["p"], d["r"]
    log = lambda x: np.log(x.clip(lower=FLOOR))
    p22, p250 = roll(p, 22), roll(p, 250, 66)
    sd = np.sqrt(p22.clip(lower=FLOOR))
    r1, r5 = by(r).shift() / sd, roll(r, 5, how="sum") / sd / 5**0.5
    volume, median = d["volume"].astype(float), roll(d["value"], 250, 66, "median")
    out = pd.DataFrame({
        "date": d["date"], "y": log(p), "lp1": log(by(p).shift()), "lp5": log(roll(p, 5)), "lp22": log(p22), "lp66": log(roll(p, 66)), "lp250": log(p250),
        "lr22": log(roll(r**2, 22)), "lrat250": (log(roll(r**2, 250, 66)) - log(p250)).clip(-2, 2), "neg1": r1.clip(-8, 0), "pos1": r1.clip(0, 8),
        "neg5": r5.clip(-6, 0), "pos5": r5.clip(0, 6), "on22": roll(d["on"], 22) / p22.clip(lower=1e-12), "zero22": roll((r == 0).astype(float), 22),
        "lvol": np.log(by(volume).shift() / roll(volume, 22)).clip(-4, 4), "ltv": np.log(median)})
    out = out[(d.groupby("symbol", sort=False).cumcount() >= 66) & (median >= 2e8)]
    return read, out.merge(dates, on="date", how="left").dropna()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bars", nargs="+", help="Parquet files of daily bars")
    parser.add_argument("--indices", required=True, help="Parquet file of index series: KOSPI, SP500, VIX")
    args = parser.parse_args()
    indices = pd.read_parquet(args.indices)
    indices["date"] = pd.to_datetime(indices["date"])
    began = time.perf_counter()
    parts = [features(path, indices) for path in args.bars]
    made = time.perf_counter()
    x = np.concatenate([t[TERMS].to_numpy() for _, t in parts])
    y = np.concatenate([t["y"].to_numpy() for _, t in parts])
    model = LinearRegression().fit(x, y)
    fitted = time.perf_counter()
    assert np.isfinite(model.coef_).all()
    print(json.dumps({"engine": "pandas + scikit-learn", "rows": sum(r for r, _ in parts), "fitted": len(y), "features_s": round(made - began, 3),
                      "fit_s": round(fitted - made, 3), "wall_s": round(time.perf_counter() - START, 3),
                      "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}))


if __name__ == "__main__":
    main()
