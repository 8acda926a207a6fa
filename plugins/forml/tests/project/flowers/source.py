"""Where the data is from."""

from flowers_catalog import Flower
from forml import project
from forml.pipeline import payload

project.setup(project.Source.query(Flower.select(Flower.length, Flower.width), Flower.kind) >> payload.ToPandas())
