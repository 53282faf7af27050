"""A mirror of both public buckets: real stimuli, simulated responses, every key, behind a real S3 server.

    folder = build(tmp_path)              # small; scale="full": the published shapes
    with serve(folder) as mirror:
        jaxscore.score(mirror.vectors, mirror.card("Pereira2018-encoding"))

The hashes and version ids of the cards are those of the real files. `Mirror.card` puts the mirror's own in their place,
and changes nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mirror_assemblies as simulated
import mirror_stimuli as stimuli
import numpy as np
import pandas as pd
import xarray as xr
from mirror_ceilings import PLATFORM, write_2021, write_platform

from jaxscore.data.nested import write_nested
from jaxscore.data.netcdf import write_array

if TYPE_CHECKING:
    from jaxscore.cards import Card

VECTORS = "vectors.txt"
NN, BL, LOCAL = "brainio-language", "brainscore-storage/brainscore-language", "local"
PARTICIPANTS, REGIONS = "brain-lang-data_participant_20230728.csv", "bold_response_LH.csv"


def build(folder: Path, scale: str = "small", seed: int = 0) -> Path:
    """Write every key of both buckets, and what lies elsewhere: two tables of Tuckute2024, word vectors.

    Args:
        folder: where `brainio-language`, `brainscore-storage` and `local` go.
        scale: "full": the published shapes; "small": fewer stimuli, in whole passages, and a few neuroids a subject.
        seed: of what is simulated.

    Returns:
        The folder.
    """
    small, nn, bl = {"small": True, "full": False}[scale], folder / NN, folder / BL
    for place in (nn, bl, folder / LOCAL):
        place.mkdir(parents=True)
    for write in (_pereira, _blank, _fedorenko, _futrell):
        write(nn, bl, small, seed)
    mean, participants = simulated.tuckute(small, seed)
    write_array(mean, bl / "assy_Tuckute2024_language.nc")
    participants.to_csv(folder / LOCAL / PARTICIPANTS, index=False)
    stimuli.regions(small).to_csv(folder / LOCAL / REGIONS, index=False)
    stimuli.write_vectors(folder / LOCAL / VECTORS, small)
    return folder


def _pereira(nn: Path, bl: Path, small: bool, seed: int) -> None:
    """All atlases for the 2021 pipeline, which has the text in the stimulus set alone; two of them by themselves."""
    assembly, table = simulated.pereira(small, seed)
    write_nested(nn, "Pereira2018", assembly, _named(table, "Pereira2018"))
    used = assembly.isel(neuroid=assembly["atlas_selection_lower"].values == 90)
    write_2021(nn, "Pereira2018-encoding", used, "neuroid", seed)
    write_2021(nn, "Pereira2018-rdm", _subjects(used, "subject"), "subject", seed)
    text = {name: ("presentation", table["sentence"].to_numpy()) for name in ("sentence", "stimulus")}
    for atlas in ("language", "auditory"):
        one = used.isel(neuroid=used["atlas"].values == atlas).assign_coords(text)
        one = one.assign_coords(filter_strategy=("neuroid", np.full(one.sizes["neuroid"], np.nan)))
        write_array(one, bl / f"assy_Pereira2018_{atlas}.nc")
        for identifier in PLATFORM if atlas == "language" else ():
            own = one.isel(presentation=one["experiment"].values == identifier.partition(".")[2].partition("-")[0])
            write_platform(bl, identifier, own.dropna("neuroid"), seed)


def _blank(nn: Path, bl: Path, small: bool, seed: int) -> None:
    """The same responses in both buckets; in one the text is in the stimulus set, in the other with the responses."""
    values, table, columns = simulated.blank(small, seed)
    named = columns.rename(columns={"subject": "subject_UID"})
    assembly = simulated.assembly(values, table[["stimulus_id", "story"]], named)
    write_nested(nn, "Blank2014fROI", assembly, _named(table, "naturalistic_stories-aligned"))
    write_2021(nn, "Blank2014fROI-encoding", assembly, "neuroid", seed)
    write_2021(nn, "Blank2014fROI-rdm", _subjects(assembly, "subject_UID"), "subject_UID", seed)
    old = {"sentence": "stimulus", "sentence_num": "sentence_number_in_story"}
    old |= {"sentence_part": "part_number_in_sentence"}
    named = columns.rename(columns={"subject": "subject_id"})
    write_array(simulated.assembly(values, table.rename(columns=old), named), bl / "assy_Blank2014_fROI.nc")


def _fedorenko(nn: Path, bl: Path, small: bool, seed: int) -> None:
    """Language and other electrodes."""
    for kind in ("", "nonlang"):
        assembly, key = simulated.fedorenko(small, seed, kind), f"Fedorenko2016v3{kind}"
        table = pd.DataFrame({name: assembly[name].values for name in ("sentence_id", "stimulus_id", "word")})
        write_nested(nn, key, assembly, _named(table, "Fedorenko2016.ecog"))
        write_2021(nn, f"{key}-encoding", assembly, "neuroid", seed)
        if not kind:
            stimulus = ("presentation", assembly["word"].values)
            write_array(assembly.assign_coords(stimulus=stimulus), bl / "assy_Fedorenko2016_language.nc")


def _futrell(nn: Path, bl: Path, small: bool, seed: int) -> None:
    """Subjects as neuroids without two of them for the 2021 pipeline; all subjects, on a dimension of their own."""
    times = simulated.futrell(small, seed)
    write_array(times.assign_attrs(bibtex="@proceedings{simulated}"), bl / "assy_Futrell2018.nc")
    fit = times.isel(subject=~np.isin(times["subject_id"].values, simulated.UNFIT)).rename(subject="neuroid")
    assembly = fit.assign_coords(neuroid_id=("neuroid", fit["subject_id"].values))
    labels = [str(name) for name, c in assembly.coords.items() if c.dims == ("presentation",)]
    table = pd.DataFrame({name: assembly[name].values for name in labels})
    write_nested(nn, "Futrell2018", assembly, _named(table, "naturalStories"))
    write_2021(nn, "Futrell2018-encoding", assembly, "neuroid", seed)


def _named(table: pd.DataFrame, name: str) -> pd.DataFrame:
    table.attrs["name"] = name
    return table


def _subjects(assembly: xr.DataArray, column: str) -> xr.DataArray:
    """An array with nothing but the subjects."""
    names = np.unique(assembly[column].values)
    return xr.DataArray(np.zeros(len(names)), {column: names}, (column,))


@dataclass(frozen=True)
class Object:
    """What was uploaded: its hash and its version."""

    sha1: str
    version: str


@dataclass(frozen=True)
class Mirror:
    """Both buckets, served.

    Attributes:
        endpoint: where; AWS_ENDPOINT_URL_S3 has to say so too.
        folder: what `build` wrote.
        objects: by address, without version.
    """

    endpoint: str
    folder: Path
    objects: dict[str, Object]

    @property
    def vectors(self) -> str:
        """A model of 6 features, which the responses are in part made of."""
        return f"glove:{self.folder / LOCAL / VECTORS}"

    def card(self, name: str) -> Card:
        """A card as it is shipped, but for the hashes and the version ids of what it names in the buckets."""
        from jaxscore.cards import load_benchmark

        card = load_benchmark(name)
        changes = {}
        if card.data.sha1:
            changes["data"] = card.data.model_copy(update={"sha1": self.objects[card.data.source].sha1})
        if card.ceiling.file:
            address, query, _ = card.ceiling.file.partition("?versionId=")
            found = self.objects[address]
            update = {"file": f"{address}{query}{found.version if query else ''}"}
            update |= {"sha1": found.sha1} if card.ceiling.sha1 else {}
            changes["ceiling"] = card.ceiling.model_copy(update=update)
        return card.model_copy(update=changes)


@contextmanager
def serve(folder: Path) -> Iterator[Mirror]:
    """Serve what `build` wrote by moto's server; AWS_ENDPOINT_URL_S3 names it meanwhile."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.session.Session().client("s3", endpoint_url=endpoint, **keys)
    before = os.environ.get("AWS_ENDPOINT_URL_S3")
    os.environ["AWS_ENDPOINT_URL_S3"] = endpoint
    try:
        uploaded = [pair for bucket in (NN, BL) for pair in _upload(client, folder, bucket)]
        yield Mirror(endpoint, folder, dict(uploaded))
    finally:
        del os.environ["AWS_ENDPOINT_URL_S3"]
        if before is not None:
            os.environ["AWS_ENDPOINT_URL_S3"] = before
        client.close()
        server.stop()


def _upload(client: object, folder: Path, place: str) -> Iterator[tuple[str, Object]]:
    bucket, _, prefix = place.partition("/")
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for path in sorted((folder / place).iterdir()):
        key, body = f"{prefix}/{path.name}".lstrip("/"), path.read_bytes()
        made = client.put_object(Bucket=bucket, Key=key, Body=body, ACL="public-read")
        yield f"s3://{bucket}/{key}", Object(hashlib.sha1(body).hexdigest(), made["VersionId"])
