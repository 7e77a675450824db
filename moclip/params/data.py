"""Parameters of the videos: where they come from, which of them, and what is held out for validation."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from moclip.base.outside.addresses import has_secrets
from moclip.params.run import Seed
from moclip.params.section import PathText, Section

_OPENLY = frozenset(["dl", "download", "raw"])  # options of an address that say how a file is handed out, and no more


def _open(url: str) -> str:
    """An address that may be read by everybody: the parameters go into Git, into MLflow and into messages."""
    if has_secrets(url):
        raise ValueError(
            "names a user or a password, and parameters are recorded; write them into ~/.netrc (an @ of a path is %40)"
        )
    options = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    if (
        urlsplit(url).fragment
        or ";" in url
        or not set(options) <= _OPENLY
        or any(len(value) > 5 for value in options.values())
    ):
        raise ValueError(
            f"has options other than {', '.join(sorted(_OPENLY))}, which may be secret, and parameters are recorded; "
            "fetch the file yourself, and name it in data.archive or put it into data.root"
        )
    return url


Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+\S*$"), AfterValidator(_open)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class DataParams(Section):
    """Section `data`: read by the stage `download`."""

    source: Literal["demo", "ucf101", "hmdb51", "folder"]
    archive: PathText | None = Field(
        description="Where ucf101 is brought from: `official`, `thumos`, `hub` or a local zip or RAR; null: it is in.",
    )
    url: Url | None = Field(description="Mirror to use instead of the archive's own address.")
    sha256: Sha256 | None = Field(description="SHA-256 that the archive must have; it is then fetched whole.")
    lists_url: Url | None = Field(description="Mirror of the train/test lists zip.")
    lists_sha256: Sha256 | None = Field(description="SHA-256 that the train/test lists zip must have.")
    ca_bundle: PathText | None = Field(description="PEM file of certificates to trust; never none.")
    seed: Seed = Field(description="Seed of what the data draw; trainings draw by the top-level `seed`.")
    root: PathText = Field(description="Directory of the videos; relative to the repository.")
    short_videos: Literal["keep", "drop"] = Field(
        description="`drop` takes videos with fewer frames than `short_frames` out of all lists."
    )
    short_frames: int = Field(ge=1, le=10_000, description="Frames that a video needs with `short_videos: drop`.")
    subset: Literal["full", "present"] = Field(
        description="`full` refuses a folder that lacks listed videos; `present` takes what is there."
    )
    duplicates: Literal["refuse", "warn"] = Field(
        description="The same bytes in two parts of a split, or in two classes: `warn` goes on."
    )
    damaged: Literal["refuse", "keep"] = Field(
        description="`keep` takes of a damaged video, or of one that is cut off, the frames before the damage."
    )
    classes: list[str] | None = Field(description="Only these classes, in class-index order.")
    clips_per_class: int | None = Field(ge=1, description="So many clips of each class; null takes all.")
    val_groups: int = Field(ge=0, le=12, description="Groups per class of the train list held out.")
    group_pattern: str = Field(
        description="Regular expression whose group 1 is the group in a file stem (source `folder`)."
    )

    @field_validator("group_pattern")
    @classmethod
    def _one_capture(cls, pattern: str) -> str:
        try:
            captures = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if captures != 1:
            raise ValueError(f"needs exactly one capture group, has {captures}")
        return pattern

    @field_validator("classes")
    @classmethod
    def _at_least_two(cls, classes: list[str] | None) -> list[str] | None:
        if classes is not None and (len(set(classes)) != len(classes) or len(classes) < 2):
            raise ValueError("needs at least two classes, each named once; null takes all")
        return classes

    @model_validator(mode="after")
    def _archive_is_of_ucf101(self) -> Self:
        if self.archive is not None and self.source != "ucf101":
            raise ValueError("archive goes with source: ucf101; the other sources take a folder (archive: null)")
        if self.url is not None and self.archive not in ("official", "thumos"):
            raise ValueError("url is a mirror of archive: official or thumos; it does nothing here, set it to null")
        if (self.sha256 is not None and self.archive is None) or (self.lists_sha256 and self.source != "ucf101"):
            raise ValueError("sha256 and lists_sha256 are of archives of ucf101 (archive); set them to null here")
        return self
