"""Tags of ForML and of modelkeep, each as the other."""
# ForML has no type hints to be found
# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

from decimal import Decimal
from typing import Any

from forml.io import asset

import modelkeep


def from_forml(tag: asset.Tag) -> modelkeep.Tag:
    """Turn a tag of ForML into one of modelkeep; scalars of numpy and pandas become the builtins that they stand for.

    Raises:
        modelkeep.InvalidError: It holds a value that no tag file can.
    """
    return modelkeep.Tag(
        modelkeep.Training(tag.training.timestamp, _plain(tag.training.ordinal)),
        modelkeep.Tuning(tag.tuning.timestamp, _plain(tag.tuning.score)),
        tag.states,
    )


def to_forml(tag: modelkeep.Tag) -> asset.Tag:
    """Turn a tag of modelkeep into one of ForML, with zones that can be pickled.

    To ForML a training or tuning without a timestamp is none; its other attribute is left out.
    """
    return asset.Tag(
        asset.Tag.Training(tag.training.timestamp, tag.training.ordinal),
        asset.Tag.Tuning(tag.tuning.timestamp, tag.tuning.score),
        tag.states,
    )


def _plain(value: Any) -> Any:
    # ForML's DSL has decimals, TOML has none; ForML's own provider writes them as floats too
    return float(value) if isinstance(value, Decimal) else value
