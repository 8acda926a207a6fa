"""What serves it."""

from forml import application

application.setup(application.Generic("flowers"))
