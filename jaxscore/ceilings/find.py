"""The ceilings of a benchmark: from its card, from a stored file, or computed and remembered."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from jaxscore import __version__
from jaxscore.ceilings.known import Ceilings, known_ceilings
from jaxscore.data.fetch import atomic_path, default_cache, fetch
from jaxscore.errors import DataError
from jaxscore.progress import Reporter
from jaxscore.provenance import content_key

if TYPE_CHECKING:
    from jaxscore.cards import Card
    from jaxscore.data.material import Material
    from jaxscore.data.source import Source
    from jaxscore.metrics.measure import Protocol
    from jaxscore.metrics.targets import Targets


def find_ceilings(
    card: Card, material: Material, targets: Targets, protocol: Protocol, source: Source, reporter: Reporter
) -> Ceilings:
    """Ceilings that scores are divided by.

    Raises:
        DataError: if the data or the file do not have them.
        FetchError: if a stored ceiling cannot be had.
    """
    if card.ceiling.kind == "file":
        return _stored(card, targets, source)
    if card.ceiling.kind == "computed":
        found, path = computed(card, material, targets, protocol, source, reporter)
        return _of_estimate(card, targets, found, path)
    return known_ceilings(card, targets)


def computed(
    card: Card,
    material: Material,
    targets: Targets,
    protocol: Protocol,
    source: Source,
    reporter: Reporter,
    *,
    overwrite: bool = False,
) -> tuple[xr.Dataset, Path]:
    """A computed ceiling and where it is kept: from the cache where it is there.

    Raises:
        DataError: see `estimate`.
    """
    from jaxscore.ceilings.estimate import estimate

    path = default_cache() / "ceilings" / f"{_key(card, source)}.nc"
    if not overwrite and path.is_file():
        with suppress(OSError, ValueError), xr.open_dataset(path, engine="h5netcdf") as file:
            return file.load().assign_attrs(benchmark=card.identifier), path
    found = estimate(card, material, targets, protocol, reporter)
    content = bytes(found.to_netcdf(engine="h5netcdf"))
    with suppress(OSError), atomic_path(path) as temporary:  # a cache: if the disk refuses, it is computed again
        temporary.write_bytes(content)
    return found, path


def _key(card: Card, source: Source) -> str:
    """Names what a ceiling depends on."""
    about = card.model_dump(
        mode="json", include={"metric", "units", "correlation", "data", "splits", "listening", "behaviour"}
    )
    for place in ("source", "sha256", "sha1"):
        about["data"].pop(place)
    if card.metric in ("encoding", "decoding"):
        about["regression"] = card.regression.model_dump(mode="json")
    names = ("method", "over", "subsets", "held_out", "bootstraps", "splits", "seed")
    about["ceiling"] = {name: getattr(card.ceiling, name) for name in names}
    about |= {"neuroids": card.aggregation.neuroids, "content": source.sha256, "jaxscore": __version__}
    return content_key(about)


def _of_estimate(card: Card, targets: Targets, found: xr.Dataset, path: Path) -> Ceilings:
    """What a score needs of a computed ceiling."""
    notes: dict[str, Any] = {"file": str(path.name)} | {
        name: found.attrs[name].item() if isinstance(found.attrs[name], np.generic) else found.attrs[name]
        for name in ("method", "seed", "whole", "failed")
    }
    said = json.loads(found.attrs["notes"])  # one for each held-out subject and part
    warnings = [f"The ceiling: {said[0]}{f' ({len(said) - 1} more are alike)' if said[1:] else ''}."] if said else []
    if notes["failed"]:
        warnings.append(f"{notes['failed']} curves of the ceiling could not be fitted and are skipped.")
    more = {"warnings": warnings, "notes": notes}
    if not card.ceiling.each:
        return Ceilings.of_whole(float(notes["whole"]), len(targets), card.ceiling.source, **more)
    ids = targets.coords["neuroid_id"].astype(str)
    if card.metric == "decoding":  # one for each unit, which its features share
        width = len(ids) // (int(targets.units.max()) + 1)
        ids = np.repeat(ids[::width], width)
    order = {name: i for i, name in enumerate(found["neuroid_id"].values.astype(str).tolist())}
    if len(order) < found.sizes["target"]:
        raise DataError(
            f"{card.identifier}: several neuroids have one neuroid_id", "Name what tells them apart: data.neuroid_id."
        )
    scored = targets.aggregated(card)  # a voxel of several atlases has one id in all of them
    known = found["ceiling"].values
    values = [known[order[name]] if own and name in order else np.nan for name, own in zip(ids, scored, strict=True)]
    return Ceilings.of_each(np.array(values), targets, scored, card.ceiling.source, **more)


def _stored(card: Card, targets: Targets, source: Source) -> Ceilings:
    """A ceiling that one of the two pipelines stored, or that a person wrote in their layout."""
    from jaxscore.data.scores import read_ceiling
    from jaxscore.data.source import Source as Place

    url = card.place(card.ceiling.file)
    file = fetch(url, sha1=card.ceiling.sha1, offline=source.offline)
    place = Place(file.path, url, file.sha256, offline=source.offline)
    found = read_ceiling(file.path, place.sibling if card.ceiling.each else None)
    notes = {"url": url, "sha256": file.sha256, "etag": file.etag, "whole": found.whole}
    if not card.ceiling.each:
        return Ceilings.of_whole(found.whole, len(targets), card.ceiling.source, notes=notes)
    if found.neuroids is None:
        raise DataError(f"{url} has no ceilings of single neuroids", "Set ceiling.each = false to use the whole.")
    values = found.of(targets.coords)
    return Ceilings.of_each(values, targets, targets.aggregated(card), card.ceiling.source, notes=notes)
