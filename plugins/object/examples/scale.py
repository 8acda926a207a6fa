"""How the layout behaves at 10 million generations and 10,000 trainers: a calculation and a small simulation.

    python scale.py [--generations N] [--trainers N]

It makes no requests. The names of objects are those that the backend writes.
"""

import argparse
import heapq
import random

from modelkeep_object._engine import _name

STATES = 10
#: Requests for a state and for a generation, as test_object.py counts them.
WRITE = {"GET": 2, "PUT": 2}
COMMIT = {"LIST": 1, "PUT": 1}
#: What S3 promises for each prefix that it has split off, requests per second.
PUTS, GETS = 3500, 5500
#: S3 Standard in us-east-1, dollars for 1000 requests.
PRICE = {"PUT": 0.005, "LIST": 0.005, "GET": 0.0004}
PAGE = 1000
#: How long a request takes, in seconds: the mean of an exponential distribution above a minimum.
LEAST, MEAN = 0.01, 0.03


def latency(chance: random.Random) -> float:
    return LEAST + chance.expovariate(1 / (MEAN - LEAST))


def simulate(starts: list[float], seed: int = 1) -> dict[str, float]:
    """Let trainers ask for the latest generation and create the next, at these times; return what it took.

    A trainer whose number is taken looks whose it is, and asks for the latest once more, as `Release.put` does.
    """
    chance = random.Random(seed)
    taken: set[int] = set()
    latest, attempts, last, longest = 0, 0, 0.0, 0.0
    # when a request is answered: of a listing (no number), or of a create
    events: list[tuple[float, int, int | None, float]] = [(at, each, None, at) for each, at in enumerate(starts)]
    heapq.heapify(events)
    while events:
        now, trainer, number, began = heapq.heappop(events)
        if number is None:
            heapq.heappush(events, (now + latency(chance), trainer, latest + 1, began))
            continue
        attempts += 1
        if number in taken:
            heapq.heappush(events, (now + 2 * latency(chance), trainer, None, began))
            continue
        taken.add(number)
        latest = max(latest, number)
        last, longest = max(last, now), max(longest, now - began)
    assert len(taken) == len(starts)
    return {"attempts": attempts, "conflicts": attempts / len(starts) - 1, "seconds": last, "longest": longest}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--generations", type=int, default=10_000_000)
    parser.add_argument("--trainers", type=int, default=10_000)
    given = parser.parse_args()
    count, trainers = given.generations, given.trainers

    print(f"1. {count:,} generations of {STATES} states in one release")
    before, size = "~", 0
    for number in range(1, count + 1):
        name = _name(f"generation/digits/1/{number:019d}")
        assert name < before, "a newer generation does not come first"
        before, size = name, max(size, len(name))
    print(f"   names have at most {size} characters; each newer one sorts before all older ones: checked")
    print(f"   objects: {count:,} x ({STATES} blobs + {STATES} states + 1) = {count * (2 * STATES + 1):,}")
    print("   finding the latest: 1 request, of a page whose first key it is")
    pages = -(-count // PAGE)
    print(
        f"   listing all: {pages:,} pages, {pages * 0.1 / 60:.0f} minutes at 0.1 s, ${pages * PRICE['LIST'] / 1000:.2f}"
    )
    requests = {"GET": STATES * WRITE["GET"], "PUT": STATES * WRITE["PUT"] + COMMIT["PUT"], "LIST": COMMIT["LIST"]}
    price = sum(number * PRICE[kind] / 1000 for kind, number in requests.items())
    print(
        f"   a commit: {requests}, {sum(requests.values())} requests, ${price:.6f}; all of them: ${price * count:,.0f}"
    )

    print(f"2. {trainers:,} trainers that commit to one release every 10 minutes, at times of their own")
    rate = trainers / 600
    for kind, most in (("PUT", PUTS), ("GET", GETS)):
        print(f"   {kind}: {rate:.1f} x {requests[kind]} = {rate * requests[kind]:.0f} a second; a prefix takes {most}")
    print(f"   so one prefix that was never split serves {600 * PUTS / requests['PUT']:,.0f} of them")
    chance = random.Random(0)
    for some in (trainers // 10, trainers * 6 // 10, trainers):
        starts = [chance.uniform(0, 600) for _ in range(some)]
        took = simulate(starts)
        conflicts, longest = took["conflicts"], took["longest"]
        print(f"   {some:,} simulated: {conflicts:.2f} conflicts a commit, the slowest took {longest:.1f} s")

    print("3. all at the same moment")
    for some in (100, 1000, trainers):
        took = simulate([0.0] * some)
        print(f"   {some:,} simulated: {took['attempts']:,} attempts, {took['seconds']:.0f} s")


if __name__ == "__main__":
    main()
