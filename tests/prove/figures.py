"""Every figure: what is wanted, and the parts that show it."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """One process. ``on`` is the database for ``tests.prove.<figure>.run(number, seed)``: postgres or sqlite;

    or ``pytest``, and then ``nodes`` are the tests that show the figure.
    """

    on: str
    number: int = 0
    nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.on} {self.number + 1}"


class Figure(NamedTuple):
    """``wanted`` is the sentence that docs/proofs.md repeats."""

    wanted: str
    parts: tuple[Part, ...]


# Of no name that the suite collects.
EVERY_STAIN = ("-o", "python_files=every_stain.py", "--browser=require", "--pg=require")

FIGURES = {
    "R1": Figure(
        "500 kills on PostgreSQL and 150 on SQLite over 2,000 generations: 0 paid twice, 0 lost, books right",
        tuple(Part(on, number) for on, parts in (("postgres", 20), ("sqlite", 8)) for number in range(parts)),
    ),
    "R2": Figure(
        "of 416 concurrent creates on a wallet of 37 prices exactly 37, in each of 20 rounds; of 200 over HTTP too",
        tuple(Part("postgres", number) for number in range(21)),
    ),
    "R3": Figure(
        "of 1,600 concurrent settles and releases of 100 reservations exactly 100 win",
        tuple(Part("postgres", number) for number in range(3)),
    ),
    "three": Figure(
        "with a user's, a team's and a key's wallet at once: 37 of 416 creates whichever is short, 100 of 1,600 "
        "settles and releases, and no deadlock in 10,000 mixed operations with ends of periods and of top-ups, "
        "and edits of many",
        tuple(Part("postgres", number) for number in range(5)),
    ),
    "R4": Figure(
        "50,000 rule steps over the ledger on PostgreSQL and on SQLite, every invariant after each",
        tuple(Part(on, number) for on in ("postgres", "sqlite") for number in range(10)),
    ),
    "R5": Figure(
        "10,000 cases from the schema in each of 3 roles: no 5xx, no breach of the schema; 200 hand-made bodies",
        (
            *(Part("postgres", number) for number in range(12)),
            Part("pytest", 12, nodes=("tests/test_bad_input.py",)),
        ),
    ),
    "export": Figure(
        "an export of 100,000 rows, as CSV and as JSON Lines: the server grows by less than 32 MB, and the first byte "
        "comes long before the last row is read",
        tuple(Part("postgres", number) for number in range(2)),
    ),
    "forged": Figure(
        "10,000 requests with forged keys: each 401, and not one of them asks the database anything",
        (Part("postgres"),),
    ),
    "R6": Figure(
        "of 5,000 mutated replies of upstream none goes uncaught, and none is read as a verdict that it did not give",
        tuple(Part("postgres", number) for number in range(5)),
    ),
    "R7": Figure(
        "400 hostile addresses into every sink, and 1,000 names that flip: 0 forbidden connects",
        (Part("postgres"),),
    ),
    "R8": Figure(
        "every endpoint and method of the API × nobody, stranger, every kind of bad key, suspended owner: as declared",
        (Part("pytest", nodes=("tests/test_api_access.py",)),),
    ),
    "R10": Figure(
        "10 immediate restarts of PostgreSQL under load: nothing acknowledged lost, nothing doubled, only 503s",
        (Part("postgres"),),
    ),
    "R11": Figure(
        "200 idempotency keys × 25 parallel duplicates: 200 generations; 500 changed bodies: 500 × 422",
        (Part("postgres"),),
    ),
    "R12": Figure(
        "1,000 webhook events, half of the receivers failing, 20 kills: all delivered, every signature valid",
        (Part("postgres"),),
    ),
    "R13": Figure(
        "30 simulated minutes of outage with 200 queued: at most 4 new unknowns, 0 failed, all others done after it",
        (Part("postgres"),),
    ),
    "R14": Figure(
        "5,000 overdue polls: never over the budget in any second, none ended by age before a fresh poll",
        (Part("postgres"),),
    ),
    "R15": Figure(
        "500 faulty downloads: 0 bad files, 0 leftovers",
        (Part("postgres"),),
    ),
    "R16": Figure(
        "of 300 hostile pictures none over the limits is accepted, and no payload survives",
        (Part("pytest", nodes=("tests/test_images.py",)),),
    ),
    "R18": Figure(
        "40 secrets through every door, worker, webhooks, errors and bad starts: 0 heard where they do not belong",
        (Part("pytest", nodes=("tests/test_canaries.py",)),),
    ),
    "R21": Figure(
        "every response, errors included, carries the security headers; check --deploy is clean",
        (Part("pytest", nodes=("tests/test_headers.py",)),),
    ),
    "R24": Figure(
        "5 freezes of django-q2: work resumes within 90 s each; 10 minutes of full load: 0 restarts",
        (Part("postgres"), Part("postgres", 1)),
    ),
    "usage": Figure(
        "usage of 1,000,000 generations by 1,000 people: at most 12 queries an address, none reads all generations; "
        "the totals are the journal's; every invariant holds",
        (Part("postgres"),),
    ),
    "library": Figure(
        "a library among 1,000,000 generations, a member's and an admin's: at most 8 queries, and 10 where it is "
        "narrowed, begins in the middle or is an admin's; none reads all generations; the progress of 30 at most 3",
        (Part("postgres"),),
    ),
    "R23": Figure(
        "60 formulas × every text column of every export: 0 cells that a spreadsheet would run",
        (Part("pytest", nodes=("tests/test_formulas.py",)),),
    ),
    "pages": Figure(
        "every page in both themes and both languages, 1440 and 390 px wide: axe finds nothing, and none is too wide",
        tuple(
            Part(
                "pytest", number, nodes=(f"tests/browser/{file}.py", "-k", "every_page", "--browser=require")
            )
            for number, file in enumerate(["test_journeys", "test_manage_journeys", "test_again_journeys"])
        ),
    ),
    "R22": Figure(
        "each of 200 payloads in every text that a person or upstream may write, on every page that shows one, in a "
        "real browser: 0 run, 0 become markup, 0 break the page's policy or its width",
        tuple(
            Part(
                "pytest",
                number,
                nodes=(f"tests/browser/every_stain.py::test_payloads[{number}]", *EVERY_STAIN),
            )
            for number in range(10)
        ),
    ),
    "sqlite": Figure(
        "every test that is marked for SQLite passes there; of these make test runs what may come out differently",
        (Part("pytest", nodes=("--db=sqlite", "-n", "4", "--dist", "worksteal")),),
    ),
    "R25": Figure(
        "a restored dump with 50 in flight: 0 POSTs until the fence was run, and none twice after it",
        (Part("postgres"), Part("sqlite")),
    ),
}
