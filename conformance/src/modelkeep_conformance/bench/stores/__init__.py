"""The same job in every store that is compared: what a user of each would write, through its public API.

`serve` runs in the environment of a peer, where there is no modelkeep, and times the class `Store` of one module here.
A `Store(place)` opens the store of a folder, or makes it, and has three methods:

- `commit(states)` keeps a generation of some states, with metadata;
- `list()` gives how many generations there are;
- `load()` gives the first state of the latest one.
"""
