"""The simulation of bongsu in numpy, on the same numbers, and both side by side.

    pip install -r benches/simulation/requirements.txt
    python benches/simulation/simulate.py --bongsu target/release/bongsu

Runs `bongsu bench simulate --export`, then the same algorithm vectorised over paths and holdings, and
compares time and figures. numpy draws with a generator of its own, so that the figures agree within the
sampling error and not to the bit. Everything is float32 as in bongsu. Paths are taken in chunks that stay
in the processor's cache; `--chunk 0` takes all at once. Each is measured without the start of its process.
"""

import argparse
import json
import math
import pathlib
import subprocess
import tempfile
import time

import numpy as np

LEVELS = (0.95, 0.975, 0.99)


def load(folder):
    about = json.loads((folder / "world.json").read_text())

    def array(name, *shape):
        return np.fromfile(folder / f"{name}.f32", dtype="<f4").reshape(shape)

    days, holdings = about["days"], about["holdings"]
    about["residuals"] = array("residuals", days, holdings)
    about["factors"] = array("factors", days, holdings)
    for name in ("pull", "variance", "value"):
        about[name] = array(name, holdings)
    return about


def paths(world, rng, count):
    """Values of the holdings at the end and the largest falls of `count` paths."""
    limit, most = np.float32(world["price_limit"]), np.float32(world["most_variance"])
    holdings = world["holdings"]
    variance = np.broadcast_to(world["variance"], (count, holdings)).copy()
    value = np.broadcast_to(world["value"], (count, holdings)).copy()
    high = np.ones(count, dtype=np.float32)
    fall = np.zeros(count, dtype=np.float32)
    step = np.empty_like(variance)
    rows = np.empty_like(variance)
    for _ in range(world["horizon"]):
        days = rng.integers(0, world["days"], count, dtype=np.int32)
        np.take(world["residuals"], days, axis=0, out=rows, mode="clip")
        np.sqrt(variance, out=step)
        step *= rows
        np.clip(step, -limit, limit, out=step)
        step += np.float32(1)
        value *= step
        np.take(world["factors"], days, axis=0, out=rows, mode="clip")
        variance *= rows
        variance += world["pull"]
        np.minimum(variance, most, out=variance)
        total = value.sum(axis=1)
        np.maximum(high, total, out=high)
        np.maximum(fall, 1 - total / high, out=fall)
    return value, fall


def simulate(world, seed, chunk):
    rng = np.random.Generator(np.random.SFC64(seed))
    count = world["paths"]
    chunk = chunk or count
    ends, falls = [], []
    for first in range(0, count, chunk):
        value, fall = paths(world, rng, min(chunk, count - first))
        ends.append(value)
        falls.append(fall)
    ends, falls = np.concatenate(ends), np.concatenate(falls)
    returns = ends.sum(axis=1) - 1
    order = np.argsort(returns)
    figures = {"mean": float(returns.mean()), "deviation": float(returns.std())}
    figures["drawdown_mean"] = float(falls.mean())
    figures["risk"] = []
    for level in LEVELS:
        worst = order[: int(count * (1 - level))]
        # What each holding carries: its mean loss over the worst paths.
        parts = world["value"] - ends[worst].mean(axis=0)
        figures["risk"].append(
            {"level": level, "var": -float(returns[worst[-1]]), "es": float(parts.sum())}
        )
    return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bongsu", default="target/release/bongsu")
    parser.add_argument("--paths", type=int, default=100_000)
    parser.add_argument("--horizon", type=int, default=20)
    parser.add_argument("--holdings", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=2_048)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [args.bongsu, "bench", "simulate", "--export", folder]
        for name in ("paths", "horizon", "holdings", "rounds"):
            command += [f"--{name}", str(getattr(args, name))]
        ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        world = load(pathlib.Path(folder))
    seconds = []
    for round_ in range(args.rounds):
        began = time.perf_counter()
        theirs = simulate(world, round_ + 1, args.chunk)
        seconds.append(time.perf_counter() - began)
    best = min(seconds)
    print(f"{args.paths} paths, {args.horizon} sessions, {args.holdings} holdings, {world['days']} days")
    print(f"bongsu {ours['best_seconds']:.3f} s on {ours['threads']} threads, "
          f"numpy {np.__version__} {best:.3f} s: {best / ours['best_seconds']:.1f} times as fast")
    worst = 0.0
    whole = args.holdings * 1_000_000
    error = ours["deviation"] * math.sqrt(2 / args.paths)
    worst = max(worst, abs(ours["mean"] - theirs["mean"]) / error)
    print(f"mean {ours['mean']:+.5f} {theirs['mean']:+.5f}, "
          f"drawdown {ours['drawdown_mean']:.5f} {theirs['drawdown_mean']:.5f}")
    for mine, other in zip(ours["risk"], theirs["risk"]):
        for name, key in (("value_at_risk", "var"), ("expected_shortfall", "es")):
            value, error = mine[name] / whole, mine[f"{name}_error"] / whole * math.sqrt(2)
            off = abs(value - other[key]) / error
            worst = max(worst, off)
            print(f"{name} {mine['level']}: {value:.5f} {other[key]:.5f}, {off:.1f} errors apart")
    if worst > 4:
        raise SystemExit(f"the figures are {worst:.1f} sampling errors apart")


if __name__ == "__main__":
    main()
