#!/usr/bin/env python3
"""Time feature making and one pooled HAR least-squares fit with polars and numpy.

    har_polars.py BARS.parquet... --indices INDICES.parquet

Each file of daily bars is taken apart from the others. Per file: clean rows, the 25 HAR terms (own range variances over 1 to
250 rows, leverage, volume, the KOSPI index, the cross-section, VIX), then one least-squares fit of the log range variance over
all files' rows with at least 66 clean rows before and a median value traded of 200 million won.
Prints one JSON line: engine, rows, fitted, features_s, fit_s, wall_s (from before the first import), peak_mib.
"""

import time

START = time.perf_counter()

import argparse
import json
import math
import resource

import numpy as np
import polars as pl

TERMS = ("lp1 lp5 lp22 lp66 lp250 lr22 lrat250 neg1 pos1 neg5 pos5 on22 zero22 lvol ltv "
         "m1 m5 m22 mneg1 mpos1 cs1 cs5 gap vix usabs").split()
FLOOR, INDEX_FLOOR = 1e-5, 1e-6


def range_variance(high, low, open_, close, previous):
    """Overnight plus Garman-Klass (1980) variance, the latter not below 0, as (overnight, sum)."""
    inside = 0.5 * (high / low).log() ** 2 - (2 * math.log(2) - 1) * (close / open_).log() ** 2
    overnight = (open_ / previous).log() ** 2
    return overnight, overnight + inside.clip(0, None)


def clean(path):
    """Rows that trade, follow a traded session and stay inside the daily limit."""
    c, s = pl.col, pl.col("symbol")
    ohlc = ["open", "high", "low", "close"]
    d = pl.read_parquet(path, columns=["date", "symbol", *ohlc, "volume", "halted", "jump"]).sort("symbol", "date")
    d = d.with_columns(trades=~c("halted") & (c("volume") > 0) & c("open").is_not_null(), previous=c("close").shift(1).over(s),
                       hi=pl.max_horizontal(ohlc), lo=pl.min_horizontal(ohlc))
    overnight, total = range_variance(c("hi"), c("lo"), c("open"), c("close"), c("previous"))
    d = d.with_columns(r=(c("close") / c("previous")).log(), on=overnight, p=total, follows=c("trades").shift(1).over(s).fill_null(False),
                       value=c("close").cast(pl.Float64) * c("volume"))
    sessions = d["date"].unique().sort()
    return sessions, d.filter(c("trades") & c("follows") & ~c("jump") & c("r").is_between(math.log(0.695), math.log(1.305)))


def date_terms(sessions, rows, indices):
    """The terms all symbols share on a date, from the session before and the US session dated before that."""
    c = pl.col
    k = indices.filter(c("series") == "KOSPI").sort("date").with_columns(previous=c("close").shift(1))
    _, p = range_variance(c("high"), c("low"), c("open"), c("close"), c("previous"))
    k = k.with_columns(p=p, r=(c("close") / c("previous")).log())
    s = c("p").rolling_mean(22).sqrt()
    k = k.select(before="date", m1=c("p").clip(INDEX_FLOOR).log(), m5=c("p").rolling_mean(5).clip(INDEX_FLOOR).log(), m22=c("p").rolling_mean(22).clip(INDEX_FLOOR).log(),
                 mneg1=(c("r").clip(None, 0) / s).clip(-6, None), mpos1=(c("r").clip(0, None) / s).clip(None, 6))
    us = indices.filter(c("series") == "SP500").sort("date").select("date", ret=c("close").log().diff())
    v = indices.filter(c("series") == "VIX").sort("date").select("date", v="close")
    us = us.join(v, on="date", how="left").sort("date").with_columns(c("v").forward_fill())
    us = us.select(us_date="date", vix=c("v").log(), usabs=(c("ret").abs() * 100 * math.sqrt(252) / c("v").shift(1)).clip(None, 6))
    cs = rows.group_by(before="date").agg(cs1=c("p").clip(FLOOR).log().mean()).sort("before").with_columns(cs5=c("cs1").rolling_mean(5))
    d = pl.DataFrame({"date": sessions}).with_columns(before=c("date").shift(1)).drop_nulls()
    d = d.with_columns(gap=(c("date") - c("before")).dt.total_days().cast(pl.Float64).log())
    d = d.join(k, on="before", how="left").join(cs, on="before", how="left").sort("before")
    return d.join_asof(us, left_on="before", right_on="us_date", allow_exact_matches=False).drop("us_date", "before")


def features(path, indices):
    """Target and terms of the rows fitted, and the number of rows read."""
    sessions, d = clean(path)
    dates = date_terms(sessions, d, indices)
    c, s = pl.col, pl.col("symbol")
    mean = lambda x, k, least=None: c(x).rolling_mean(k, min_samples=least or k).shift(1).over(s)
    log = lambda x: c(x).clip(FLOOR).log()
    d = d.with_columns(r2=c("r") ** 2, zero=(c("r") == 0).cast(pl.Float64), vol=c("volume").cast(pl.Float64))
    d = d.with_columns(before=pl.int_range(pl.len()).over(s), p1=c("p").shift(1).over(s), p5=mean("p", 5), p22=mean("p", 22), p66=mean("p", 66),
                       p250=mean("p", 250, 66), r22=mean("r2", 22), r250=mean("r2", 250, 66), o22=mean("on", 22), zero22=mean("zero", 22),
                       v22=mean("vol", 22), v1=c("vol").shift(1).over(s), r1=c("r").shift(1).over(s), r5=c("r").rolling_sum(5).shift(1).over(s),
                       median=c("value").rolling_median(250, min_samples=66).shift(1).over(s))
    sd = c("p22").clip(FLOOR).sqrt()
    d = d.filter((c("before") >= 66) & (c("median") >= 2e8)).with_columns(
        y=log("p"), lp1=log("p1"), lp5=log("p5"), lp22=log("p22"), lp66=log("p66"), lp250=log("p250"), lr22=log("r22"),
        lrat250=(log("r250") - log("p250")).clip(-2, 2), neg1=(c("r1").clip(None, 0) / sd).clip(-8, None), pos1=(c("r1").clip(0, None) / sd).clip(None, 8),
        neg5=(c("r5").clip(None, 0) / sd / 5**0.5).clip(-6, None), pos5=(c("r5").clip(0, None) / sd / 5**0.5).clip(None, 6),
        on22=c("o22") / c("p22").clip(1e-12), lvol=(c("v1") / c("v22")).log().clip(-4, 4), ltv=c("median").log())
    d = d.join(dates, on="date", how="left", maintain_order="left").select("y", *TERMS).drop_nulls()
    return pl.scan_parquet(path).select(pl.len()).collect().item(), d.to_numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bars", nargs="+", help="Parquet files of daily bars")
    parser.add_argument("--indices", required=True, help="Parquet file of index series: KOSPI, SP500, VIX")
    args = parser.parse_args()
    indices = pl.read_parquet(args.indices)
    began = time.perf_counter()
    parts = [features(path, indices) for path in args.bars]
    made = time.perf_counter()
    q = len(TERMS) + 1
    a, b, n = np.zeros((q, q)), np.zeros(q), 0
    for _, m in parts:
        y, x = m[:, 0].copy(), m
        x[:, 0] = 1.0
        a, b, n = a + x.T @ x, b + x.T @ y, n + len(y)
    coefficients = np.linalg.solve(a, b)
    fitted = time.perf_counter()
    assert np.isfinite(coefficients).all()
    print(json.dumps({"engine": "polars + numpy", "rows": sum(r for r, _ in parts), "fitted": n, "features_s": round(made - began, 3),
                      "fit_s": round(fitted - made, 3), "wall_s": round(time.perf_counter() - START, 3),
                      "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}))


if __name__ == "__main__":
    main()
