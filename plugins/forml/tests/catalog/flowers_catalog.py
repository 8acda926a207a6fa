"""The schema of the data, installed beside ForML, as its feeds need it."""

from forml.io import dsl


class Flower(dsl.Schema):  # type: ignore[misc]  # ForML has no type hints
    """A measured flower."""

    length = dsl.Field(dsl.Float())
    width = dsl.Field(dsl.Float())
    kind = dsl.Field(dsl.Integer())
