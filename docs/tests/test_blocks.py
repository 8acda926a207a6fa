"""Every code block of the guides and of the READMEs, run as a reader would run it.

The blocks of a page run one after the other, in a folder and a home of their own:

    python      is executed; all of a page share their names. `text` after it is what it prints.
    console     commands follow `$ `, run by one bash on a terminal; what stands below them is what they print. No
                output says nothing about it. A command that fails is an error unless the next one is `echo $?`.
    toml        is parsed; with tables of modelkeep's configuration it becomes `modelkeep.toml`, and all that it names
                is opened
    no language is a drawing or listing; it can't hold commands

What is printed and what is shown are the same but for times, ids and digests, which need the same shape only, and for
whatever `...` stands for. A first line `# name.py` or `# name.toml` makes a block the file of that name. Comments that
no reader sees, `<!-- hidden python` or `<!-- hidden console`, hold what is needed besides; `<!-- not run: REASON -->`
before a block says why it can't be run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import doctest
import io
import os
import pty
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import modelkeep
from modelkeep import _config

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("README.md", "docs/*.md", "core/**/README.md", "conformance/**/README.md", "plugins/*/README.md")
    for path in ROOT.glob(pattern)
)
#: What Sphinx makes of a page itself; none of them holds code.
DIRECTIVES = frozenset({"eval-rst", "include", "literalinclude", "toctree"})
FILE = re.compile(r"# (~?[\w./-]+\.(?:py|toml))\n")
MARK = re.compile(r"<!-- (?:not run: (?P<reason>.*?)|hidden (?P<language>\w+)\n(?P<content>.*))-->\s*", re.DOTALL)
COMMAND = re.compile(r"^\s*(?:\$ |>>> |(?:pip|python|modelkeep) )", re.MULTILINE)
#: What differs from run to run.
VARIES = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|blake3:[0-9a-f]{64}"
)
#: What the shell prints after each command, with its exit code.
END = re.compile(r"\x1e(\d+)\x1e\n")
ENDED = r"__s=$?; printf '\036%d\036\n' $__s; (exit $__s)"


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of a page, or what is hidden beside it."""

    language: str
    content: str
    line: int
    reason: str | None = None


class BlockError(AssertionError):
    """A block does not do what it shows."""


def blocks_of(text: str) -> Iterator[Block]:
    """Find the blocks of a page, in order."""
    reason = None
    for token in MarkdownIt("commonmark").parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block" and re.match(r"<!--\s*(?:not|hidden)\b", token.content):
            mark = MARK.fullmatch(token.content)
            if not mark or reason is not None:
                raise BlockError(f"line {line}: this comment is not understood, or stands before no block")
            reason = (mark["reason"] or "").strip() or None
            if mark["language"]:
                yield Block(f"hidden {mark['language']}", mark["content"], line + 1)
            elif reason is None:
                raise BlockError(f"line {line}: a block that is not run needs a reason")
        elif token.type in ("fence", "code_block"):
            yield Block(token.info.strip(), token.content, line + (token.type == "fence"), reason)
            reason = None
    if reason is not None:
        raise BlockError("the last comment stands before no block")


class Session:
    """Runs the blocks of a page."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.names: dict[str, object] = {"__name__": "page"}
        self.printed: str | None = None
        self.fates: Counter[str] = Counter()

    def run(self) -> None:
        for block in blocks_of(self.page.read_text("utf-8")):
            try:
                fate = self.block(block)
            except BlockError as error:
                raise BlockError(f"{self.page}:{block.line}: {error}") from None
            self.fates[fate] += 1

    def block(self, block: Block) -> str:
        """Run one, and say what became of it."""
        kinds = {"python": self.python, "toml": self.toml, "console": self.console, "text": self.text, "": self.listing}
        language = block.language.removeprefix("hidden ")
        if language != "text":
            self.printed = None
        if language.startswith("{"):
            self.directive(*language.removeprefix("{").split("}", 1))
            return "directive"
        # these are read all the same
        if block.reason and language not in ("python", "toml"):
            return "not run"
        if language not in kinds:
            raise BlockError(f"blocks of {language!r} are not run: teach test_blocks.py, or mark it")
        kinds[language](block)
        return "not run" if block.reason else block.language or "listing"

    def text(self, block: Block) -> None:
        if self.printed is None:
            raise BlockError("a text follows the python block that prints it")
        compare(block.content, self.printed)

    def listing(self, block: Block) -> None:
        if COMMAND.search(block.content):
            raise BlockError("a listing does not hold commands: name its language")

    def directive(self, name: str, argument: str) -> None:
        if name not in DIRECTIVES:
            raise BlockError(f"unknown directive {name!r}")
        if name.endswith("include") and not (self.page.parent / argument.strip()).is_file():
            raise BlockError(f"there is no {argument}")

    def file(self, block: Block) -> bool:
        """Write the file that a block is, if it is one."""
        if not (first := FILE.match(block.content)):
            return False
        path = Path(first[1]).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.content, "utf-8")
        return True

    def toml(self, block: Block) -> None:
        try:
            tables = tomllib.loads(block.content)
        except tomllib.TOMLDecodeError as error:
            raise BlockError(f"no TOML: {error}") from None
        if block.reason:
            return
        if not self.file(block):
            Path("modelkeep.toml").write_text(block.content, "utf-8")
        elif not {"registry", "inventory"} & {*tables}:
            return
        with failing("this configuration"):
            for kind, entries in _config.load().entries.items():
                for name in entries:
                    getattr(modelkeep, kind)(name)

    def python(self, block: Block) -> None:
        # as many lines as stand before the block, so that a traceback names the line of the page
        code = compile("\n" * (block.line - 1) + block.content, str(self.page), "exec")
        if block.reason or self.file(block):
            return
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, self.names)
        self.printed = printed.getvalue()

    def console(self, block: Block) -> None:
        commands = commands_of(block.content)
        script = "".join(f"{command}\n{ENDED}\n" for command, _ in commands)
        done = END.split(shell(script))
        outputs, codes = done[:-1:2], done[1::2]
        if len(codes) < len(commands):
            raise BlockError(f"the shell ended early: {done[-1]}")
        looked = [*[command.strip() == "echo $?" for command, _ in commands][1:], False]
        for (command, shown), output, code, looks in zip(commands, outputs, codes, looked, strict=True):
            if code != "0" and not looks:
                raise BlockError(f"`{command}` exits with {code}: {output}")
            if shown:
                compare(shown, output)


def commands_of(content: str) -> list[tuple[str, str]]:
    """Split a console into its commands, each with what it prints."""
    parts = re.split(r"^\$ ", content, flags=re.MULTILINE)
    if parts[0].strip() or len(parts) == 1:
        raise BlockError("a console begins with `$ ` and a command")
    found = []
    for part in parts[1:]:
        # a backslash ends what goes on in the next line
        command, _, shown = re.sub(r"\\\n> ?", "", part).partition("\n")
        found.append((command, shown))
    return found


def shell(script: str) -> str:
    """What a terminal shows of the commands of a script."""
    ours, theirs = pty.openpty()
    # a job's own session, so that it has no other terminal
    with subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ):
        os.close(theirs)
        read = bytearray()
        # at the end of the other side Linux reports an error, others the end
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65536):
                read += piece
        os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", read.decode().replace("\r\n", "\n"))


def compare(shown: str, printed: str) -> None:
    """Demand that what is printed is what is shown."""
    want, got = ("\n".join([*map(str.rstrip, text.strip("\n").splitlines()), ""]) for text in (shown, printed))
    same = (VARIES.sub(lambda hit: re.sub(r"[0-9a-f]", "0", hit[0]), text) for text in (want, got))
    if not doctest.OutputChecker().check_output(next(same), next(same), doctest.ELLIPSIS):
        raise BlockError(f"it prints\n{got}and not\n{want}")


@contextlib.contextmanager
def failing(what: str) -> Iterator[None]:
    try:
        yield
    except modelkeep.Error as error:
        raise BlockError(f"{what} raises {type(error).__name__}: {error}") from error


def counted(text: str) -> int:
    """Count the fences of a page by another way than the parser."""
    count, fence = 0, ""
    for line in text.splitlines():
        ticks = re.match(r"\s*(`{3,}|~{3,})", line)
        if ticks and not fence:
            count, fence = count + 1, ticks[1]
        elif ticks and ticks[1].startswith(fence) and line.strip() == ticks[1]:
            fence = ""
    return count


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder, with a home of its own, and nothing configured."""
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    for name in [*os.environ]:
        if name.startswith(("MODELKEEP_", "XDG_", "PYTEST_")):
            monkeypatch.delenv(name)
    for name, value in {
        # as if what a page writes were installed
        "PYTHONPATH": str(folder),
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
        "LINES": "24",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PYTHONUTF8": "1",
        "ROOT": str(ROOT),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = {*sys.modules}
    yield folder
    for name in {*sys.modules} - known:
        # what a page imported from its own folder is not there for the next one
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_each_block_shows_is_what_it_does(page: Path, home: Path) -> None:
    session = Session(ROOT / page)
    session.run()
    text = (ROOT / page).read_text("utf-8")
    seen = sum(count for fate, count in session.fates.items() if not fate.startswith("hidden"))
    listings = sum(token.type == "code_block" for token in MarkdownIt("commonmark").parse(text))
    assert seen == counted(text) + listings


def test_all_pages_are_found() -> None:
    assert {str(page) for page in PAGES} >= {
        "README.md",
        "core/README.md",
        "conformance/README.md",
        *(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/README.md")),
        *(f"docs/{name}.md" for name in ("index", "guide", "authors", "operators", "api")),
    }


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```python\nprint(1)\n```\n```text\n2\n```\n", "it prints"),
        ("```console\n$ false\n```\n", "exits with 1"),
        ("```console\n$ echo a\nb\n```\n", "it prints"),
        ("```console\necho a\n```\n", "begins with"),
        ("```console\n$ exit 3\n```\n", "ended early"),
        ("```bash\necho\n```\n", "are not run"),
        ("```\n$ echo\n```\n", "name its language"),
        ("    pip install this\n", "name its language"),
        ("```toml\n[registri]\n```\n", "unknown table"),
        ('```toml\n[registry.a]\nprovider = "local"\npth = "x"\n```\n', "did you mean 'path'"),
        ("<!-- not run: -->\n\n```python\n```\n", "needs a reason"),
        ("<!-- not run: because -->\n", "before no block"),
        ("<!-- hidden -->\n", "not understood"),
        ("```text\n1\n```\n", "follows the python block"),
        ("```{exec}\n```\n", "unknown directive"),
        ("```{literalinclude} nowhere.py\n```\n", "there is no"),
    ],
)
def test_a_block_that_is_wrong_fails(page: str, message: str, home: Path) -> None:
    path = home / "page.md"
    path.write_text(page)
    with pytest.raises(BlockError, match=re.escape(message)):
        Session(path).run()


def test_an_error_of_python_names_the_line_of_the_page(home: Path) -> None:
    path = home / "page.md"
    path.write_text("# A\n\n```python\nx = 1\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        Session(path).run()
    assert (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1) == (str(path), 5)


def test_what_varies_a_failure_that_is_looked_at_and_a_file_are_fine(home: Path) -> None:
    path = home / "page.md"
    path.write_text(
        "<!-- hidden python\nx = 2\n-->\n\n```python\nprint('a', x)\n```\n```text\na ...\n```\n"
        "```python\n# sub/one.py\nprint('one')\n```\n"
        "```console\n$ python sub/one.py && \\\n> false\none\n$ echo $?\n1\n```\n"
        "<!-- not run: needs a bucket -->\n```console\n$ nothing\n```\n\n    a drawing\n"
    )
    session = Session(path)
    session.run()
    assert session.fates == {"hidden python": 1, "python": 2, "text": 1, "console": 1, "not run": 1, "listing": 1}
    assert counted(path.read_text()) == 5
