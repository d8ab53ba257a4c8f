"""Models on disk: formats, what may be spent on saving, what must be trusted for loading."""

from autotrack.models.budget import Allowance, Policy
from autotrack.models.conversion import convert_later
from autotrack.models.formats import (
    Exported,
    ModelFormat,
    Saved,
    check_name,
    format_for,
    format_of_file,
    known_format,
    load,
    register_format,
    requirements,
    runs_code,
    save,
    vouched,
)
from autotrack.models.pickles import PickleFormat

__all__ = [
    "Allowance",
    "Exported",
    "ModelFormat",
    "Policy",
    "Saved",
    "check_name",
    "convert_later",
    "format_for",
    "format_of_file",
    "known_format",
    "load",
    "register_format",
    "requirements",
    "runs_code",
    "save",
    "vouched",
]

register_format(PickleFormat())
