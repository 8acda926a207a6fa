"""What tests run against: real servers on loopback, and a proxy before them that misbehaves.

`python -m modelkeep_object.testing SERVER COMMAND ...` starts one for the time of a command.
"""

from modelkeep_object.testing.proxy import Proxy
from modelkeep_object.testing.servers import Server, own_seaweed, server

__all__ = ["Proxy", "Server", "own_seaweed", "server"]
