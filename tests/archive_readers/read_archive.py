"""Reads an archive as an analyst would, with pandas (pyarrow) and DuckDB, and compares it with its
manifests. Prints one JSON object; `problems` is empty when everything fits.

    read_archive.py (--s3 http://127.0.0.1:9000 --access-key K --secret-key S | --folder raw-data) --copy DIR

A folder is one of Bongsu's own: each object a folder whose name ends with @, versions inside. `--copy`
receives the bucket as plain files.
"""

import argparse
import hashlib
import json
import pathlib
import sys

import duckdb
import pandas as pd
import pyarrow.fs as pafs
import pyarrow.parquet as pq


def objects_of_s3(args, copy):
    scheme, _, host = args.s3.partition("://")
    s3 = pafs.S3FileSystem(
        access_key=args.access_key,
        secret_key=args.secret_key,
        endpoint_override=host,
        scheme=scheme,
        region="us-east-1",
    )
    found = s3.get_file_info(pafs.FileSelector("raw-data/kis", recursive=True))
    for info in found:
        if info.is_file:
            target = copy / info.path.removeprefix("raw-data/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with s3.open_input_stream(info.path) as stream:
                target.write_bytes(stream.read())
    # The same data set straight from the service.
    return pd.read_parquet("raw-data/kis/ticks", filesystem=s3)


def objects_of_folder(args, copy):
    root = pathlib.Path(args.folder)
    for folder in root.rglob("*@"):
        newest = max(path for path in folder.iterdir() if not path.name.endswith(".about"))
        target = copy / str(folder.relative_to(root)).removesuffix("@")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(newest.read_bytes())
    # Straight from the folder, with the pattern of the documentation.
    pattern = str(root / "kis/ticks/dt=*/*.parquet@/v??????????")
    query = f"select * from read_parquet('{pattern}', hive_partitioning = true)"
    return duckdb.sql(query).df()


def check(what, left, right, problems):
    if left != right:
        problems.append(f"{what}: {left} and {right}")


def check_files(copy, manifests, problems):
    for manifest in manifests:
        for file in manifest["files"]:
            path = copy / file["key"]
            content = path.read_bytes()
            check(file["key"] + " bytes", len(content), file["bytes"], problems)
            check(file["key"] + " sha256", hashlib.sha256(content).hexdigest(), file["sha256"], problems)
            check(file["key"] + " rows", pq.read_metadata(path).num_rows, file["rows"], problems)
            groups = pq.read_metadata(path)
            sizes = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
            if max(sizes) > 65536:
                problems.append(f"{file['key']}: a row group of {max(sizes)} rows")
            check(file["key"] + " codec", groups.row_group(0).column(0).compression, "ZSTD", problems)


def total(manifests, dataset, key):
    files = [file for manifest in manifests for file in manifest["files"] if file["dataset"] == dataset]
    return sum(file["sums"].get(key, file.get(key)) for file in files)


def rows(manifests, dataset):
    return sum(f["rows"] for m in manifests for f in m["files"] if f["dataset"] == dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--s3")
    parser.add_argument("--access-key")
    parser.add_argument("--secret-key")
    parser.add_argument("--folder")
    parser.add_argument("--copy", required=True)
    args = parser.parse_args()
    copy = pathlib.Path(args.copy)
    direct = objects_of_s3(args, copy) if args.s3 else objects_of_folder(args, copy)
    problems = []
    manifests = [json.loads(p.read_text()) for p in sorted((copy / "kis/segments").glob("*.json"))]
    check_files(copy, manifests, problems)

    ticks = pd.read_parquet(copy / "kis/ticks")
    frames = pd.read_parquet(copy / "kis/ws")
    check("ticks, direct and copied", len(direct), len(ticks), problems)
    check("pandas ticks", len(ticks), rows(manifests, "ticks"), problems)
    check("pandas frames", len(frames), rows(manifests, "frames"), problems)
    check("pandas quantity", int(ticks.quantity.sum()), total(manifests, "ticks", "quantity"), problems)
    value = int((ticks.price * ticks.quantity).sum())
    check("pandas value", value, total(manifests, "ticks", "value"), problems)
    size = int(frames.payload.str.len().sum())
    check("pandas payload", size, total(manifests, "frames", "payload_bytes"), problems)

    kinds = {name: str(kind) for name, kind in ticks.dtypes.items()}
    for name in ["price", "quantity", "cum_volume", "cum_value", "ask", "bid"]:
        check(f"type of {name}", kinds[name], "int64", problems)
    check("zone of time", ticks.time.dt.tz.utcoffset(None), pd.Timedelta(hours=9), problems)
    check("unit of time", ticks.time.dt.unit, "us", problems)
    check("type of received", kinds["received"], "datetime64[us, UTC]", problems)
    check("type of halted", kinds["halted"], "bool", problems)
    check("type of symbol", type(ticks.symbol.iloc[0]).__name__, "str", problems)
    check("type of payload", type(frames.payload.iloc[0]).__name__, "bytes", problems)
    # A trade lies in the partition of its own Korean day.
    days = ticks.time.dt.strftime("%Y-%m-%d")
    check("partition of ticks", bool((days == ticks.dt.astype(str)).all()), True, problems)

    sql = duckdb.sql
    source = f"read_parquet('{copy}/kis/ticks/dt=*/*.parquet', hive_partitioning = true)"
    count, quantity, amount = sql(
        f"select count(*), sum(quantity), sum(price * quantity) from {source}"
    ).fetchall()[0]
    check("duckdb ticks", count, len(ticks), problems)
    check("duckdb quantity", int(quantity), int(ticks.quantity.sum()), problems)
    check("duckdb value", int(amount), value, problems)
    types = dict((row[0], row[1]) for row in sql(f"describe select * from {source}").fetchall())
    check("duckdb time", types["time"], "TIMESTAMP WITH TIME ZONE", problems)
    check("duckdb price", types["price"], "BIGINT", problems)
    source = f"read_parquet('{copy}/kis/ws/dt=*/*.parquet', hive_partitioning = true)"
    count, size_again = sql(f"select count(*), sum(octet_length(payload)) from {source}").fetchall()[0]
    check("duckdb frames", (count, int(size_again)), (len(frames), size), problems)

    distinct = ticks.drop_duplicates(["symbol", "dt", "cum_volume"])
    report = {
        "problems": problems,
        "segments": len(manifests),
        "faults": sum(len(manifest["faults"]) for manifest in manifests),
        "frames": len(frames),
        "repeated_frames": int(frames.duplicated(["segment", "offset"]).sum()),
        "ticks": len(ticks),
        "trades": len(distinct),
        "quantity": int(distinct.quantity.sum()),
        "days": sorted(set(days)),
    }
    print(json.dumps(report))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
