"""Technical indicators of bars as the package `ta` computes them.

    ta_values.py BARS.csv OUT.csv NAME…

BARS.csv has the columns open, high, low, close, volume. OUT.csv receives a row a bar and the columns
that `Indicator::columns` gives for each NAME (`rsi14`, `bb20`). An empty cell: `ta` has no value
there, be it that it says nan or inf, or that it fills what is not warm with 0 or with a shorter
window. `skip`: `ta` has a value that is by its own making no comparison.
"""

import re
import sys

import numpy as np
import pandas as pd
import ta.momentum
import ta.trend
import ta.volatility
import ta.volume


def warm_from(series, first):
    """Empty before index `first`, where `ta` fills."""
    series = series.copy()
    series.iloc[:first] = np.nan
    return series


def bands(name, middle, upper, lower):
    return {f"{name}_middle": middle, f"{name}_upper": upper, f"{name}_lower": lower}


def adx(b, name, n):
    of = ta.trend.ADXIndicator(b.high, b.low, b.close, window=n)
    columns = {name: warm_from(of.adx(), 2 * n - 1)}
    for side, series in [("plus", of.adx_pos()), ("minus", of.adx_neg())]:
        series = warm_from(series, n).astype(object)
        # The first one is left at 0.
        series.iloc[n] = "skip"
        columns[f"{name}_{side}"] = series
    return columns


def cci(b, name, n):
    values = ta.trend.CCIIndicator(b.high, b.low, b.close, window=n).cci()
    # Of a still price only rounding is left, in numerator and denominator.
    typical = b.high + b.low + b.close
    still = typical.rolling(n).max() == typical.rolling(n).min()
    return {name: values.mask(still)}


def keltner(b, name, n, **version):
    of = ta.volatility.KeltnerChannel(b.high, b.low, b.close, window=n, **version)
    middle = of.keltner_channel_mband()
    upper = warm_from(of.keltner_channel_hband(), n - 1)
    return bands(name, middle, upper, warm_from(of.keltner_channel_lband(), n - 1))


def macd(b, name, _):
    of = ta.trend.MACD(b.close)
    return {name: of.macd(), f"{name}_signal": of.macd_signal(), f"{name}_histogram": of.macd_diff()}


def bollinger(b, name, n):
    of = ta.volatility.BollingerBands(b.close, window=n)
    middle, upper, lower = of.bollinger_mavg(), of.bollinger_hband(), of.bollinger_lband()
    # A still price has no width: what is left there is the rounding of pandas' running variance.
    still = b.close.rolling(n).max() == b.close.rolling(n).min()
    return bands(name, middle, upper.mask(still, middle), lower.mask(still, middle))


def donchian(b, name, n):
    of = ta.volatility.DonchianChannel(b.high, b.low, b.close, window=n)
    lower = of.donchian_channel_lband()
    return bands(name, of.donchian_channel_mband(), of.donchian_channel_hband(), lower)


def stoch(b, name, n):
    of = ta.momentum.StochasticOscillator(b.high, b.low, b.close, window=n)
    return {f"{name}_k": of.stoch(), f"{name}_d": of.stoch_signal()}


def atr(b, n):
    values = ta.volatility.AverageTrueRange(b.high, b.low, b.close, window=n)
    return warm_from(values.average_true_range(), n - 1)


def single(compute):
    return lambda b, name, n: {name: compute(b, n)}


WORDS = {
    "sma": single(lambda b, n: ta.trend.SMAIndicator(b.close, n).sma_indicator()),
    "ema": single(lambda b, n: ta.trend.EMAIndicator(b.close, n).ema_indicator()),
    "wma": single(lambda b, n: ta.trend.WMAIndicator(b.close, n).wma()),
    "rsi": single(lambda b, n: ta.momentum.RSIIndicator(b.close, n).rsi()),
    "macd": macd,
    "bb": bollinger,
    "atr": single(atr),
    "stoch": stoch,
    "willr": single(lambda b, n: ta.momentum.WilliamsRIndicator(b.high, b.low, b.close, n).williams_r()),
    "cci": cci,
    "adx": adx,
    "obv": single(lambda b, _: ta.volume.OnBalanceVolumeIndicator(b.close, b.volume).on_balance_volume()),
    "mfi": single(lambda b, n: ta.volume.money_flow_index(b.high, b.low, b.close, b.volume, n)),
    "vwap": single(
        lambda b, n: ta.volume.volume_weighted_average_price(b.high, b.low, b.close, b.volume, n)
    ),
    "roc": single(lambda b, n: ta.momentum.ROCIndicator(b.close, n).roc()),
    "donchian": donchian,
    "keltner": keltner,
    "keltneratr": lambda b, name, n: keltner(b, name, n, original_version=False, window_atr=10),
    "ulcer": single(lambda b, n: ta.volatility.UlcerIndex(b.close, n).ulcer_index()),
}


def main():
    source, target, *names = sys.argv[1:]
    bars = pd.read_csv(source)
    columns = {}
    for name in names:
        word, digits = re.fullmatch(r"([a-z]+)(\d*)", name).groups()
        columns |= WORDS[word](bars, name, int(digits or 0))
    table = pd.DataFrame(columns).replace([np.inf, -np.inf], np.nan)
    table.to_csv(target, index=False)


if __name__ == "__main__":
    main()
