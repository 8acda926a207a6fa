from __future__ import annotations

import errno
import os
import pickle
import random
import shutil
import socket
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelkeep import Error, InvalidError, Manifest, Package, StorageError

MANIFEST = Manifest("digits", "1.0", "pkg", {"flow": ".flow"})
NATIVE = "__modelkeep__.toml"
FORML = "__4ml__.py"
FORML_TEXT = 'NAME = "digits"\nVERSION = "1.0"\nPACKAGE = "pkg"\nMODULES = {"flow": "pkg.flow"}'

#: To be called with what a type checker would refuse.
untyped: Any = Package

# the children made here do nothing that other threads could disturb
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder as a project has it."""
    root = tmp_path / "source"
    (root / "pkg" / "sub" / "empty").mkdir(parents=True)
    (root / NATIVE).write_text(MANIFEST.dumps(), "utf-8")
    (root / "pkg" / "__init__.py").write_text("raise SystemExit('no code of a package runs')\n", "utf-8")
    (root / "pkg" / "flow.py").write_text("VALUE = 1\n", "utf-8")
    (root / "pkg" / "sub" / "data.bin").write_bytes(random.Random(1).randbytes(3 << 20))
    (root / "pkg" / "run.sh").write_text("#!/bin/sh\n", "utf-8")
    (root / "pkg" / "run.sh").chmod(0o750)
    (root / "pkg" / "nothing").touch()
    (root / "pkg" / "ä é.txt").write_text("ü", "utf-8")
    return root


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[..., Path]:
    """Write a zip from names (or ZipInfos) and contents; a manifest comes with it unless it has one."""

    def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], manifest: bool = True, **options: Any) -> Path:
        path = tmp_path / "hostile.4ml"
        with zipfile.ZipFile(path, "w", **options) as archive:
            if manifest:
                archive.writestr(NATIVE, MANIFEST.dumps())
            for name, content in members:
                archive.writestr(name, content)
        return path

    return zipped


def info(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system = 3
    made.external_attr = mode << 16
    return made


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Names, modes and bytes of all below a folder."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, b"" if path.is_dir() else path.read_bytes())
        for path in sorted(root.rglob("*"))
    }


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """At the end, there is nothing in the folder that was not there before, hidden files included."""
    yield
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")]
    assert not list((tmp_path / "out").glob("**/*")) if (tmp_path / "out").exists() else True


def in_child_of_nobody(work: Callable[[Path], None]) -> None:
    """Run in a child that has no rights of root, in a folder of its own; raise AssertionError if it fails there."""
    folder = Path(tempfile.mkdtemp())
    try:
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if os.getuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                work(folder)
                code = 0
            except BaseException as error:  # told by the parent
                os.write(2, f"{error!r}\n".encode())
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        for parent, names, _ in os.walk(folder):
            for name in names:
                Path(parent, name).chmod(0o700)
        shutil.rmtree(folder)


# opening


def test_a_folder_is_a_package(source: Path) -> None:
    package = Package(source)
    assert package.folder
    assert package.manifest == MANIFEST
    assert package.path == source


def test_a_zip_is_a_package_whatever_its_name(source: Path, tmp_path: Path) -> None:
    path = Package.create(source, tmp_path / "x.tar.gz.exe").path
    assert not Package(str(path)).folder
    assert Package(str(path)).manifest == MANIFEST


def test_a_package_of_forml_is_read(zipped: Callable[..., Path]) -> None:
    package = Package(zipped((FORML, FORML_TEXT.encode()), ("pkg/flow.py", b""), manifest=False))
    assert package.manifest == Manifest("digits", "1.0", "pkg", {"flow": "pkg.flow"})


def test_a_manifest_of_forml_may_begin_with_a_byte_order_mark(zipped: Callable[..., Path]) -> None:
    # as editors on Windows write it; Python, and so ForML, takes no offence
    assert Package(zipped((FORML, b"\xef\xbb\xbf" + FORML_TEXT.encode()), manifest=False)).manifest.name == "digits"


def test_the_native_manifest_comes_first(zipped: Callable[..., Path]) -> None:
    other = FORML_TEXT.replace("1.0", "2.0").encode()
    assert str(Package(zipped((FORML, other))).manifest.version) == "1.0"


def test_opening_runs_nothing(zipped: Callable[..., Path], tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'trace')!r}, 'w')\nraise SystemExit(3)\n{FORML_TEXT}".encode()
    Package(zipped((FORML, code), ("pkg/__init__.py", code), manifest=False)).install(tmp_path / "installed")
    assert not (tmp_path / "trace").exists()


def test_opening_changes_nothing(source: Path, tmp_path: Path) -> None:
    zipfile_path = Package.create(source, tmp_path / "a.4ml").path
    before = snapshot(tmp_path)
    Package(source)
    Package(zipfile_path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("path", [None, 5, b"bytes", ["a"], object()])
def test_a_path_of_another_type_is_invalid(path: object) -> None:
    with pytest.raises(InvalidError):
        Package(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["a\0b", "", "\ud800", "x" * 300, "nothing/here", "/dev/null", "~nobody-at-all/x"])
def test_a_path_that_is_no_package_is_refused(bare: Path, path: str) -> None:
    with pytest.raises(Error):
        Package(path)


def test_a_relative_path_in_a_folder_that_is_gone_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(Error):
        Package("digits.4ml")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\5\6" + b"\0" * 18, b"\x1f\x8b" + b"\0" * 50, b"x" * 100_000])
def test_a_file_that_is_no_package_is_invalid(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InvalidError, match="file"):
        Package(tmp_path / "file")


def test_an_empty_folder_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="no manifest"):
        Package(tmp_path)


def test_a_manifest_that_is_a_folder_is_none(zipped: Callable[..., Path]) -> None:
    with pytest.raises(InvalidError, match="no manifest"):
        Package(zipped((f"{NATIVE}/", b""), manifest=False))


@pytest.mark.parametrize("where", ["sub/", "pkg/", "../"])
def test_a_manifest_has_to_be_in_the_root(zipped: Callable[..., Path], where: str) -> None:
    with pytest.raises(InvalidError):
        Package(zipped((where + NATIVE, MANIFEST.dumps().encode()), manifest=False))


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b"name = 5", b"import os", b"x = " + b"[" * 100_000, b"x = " + b"9" * 5000, b"name = 'a\0'"],
    ids=lambda text: repr(text[:20]),
)
def test_a_package_with_a_bad_manifest_is_invalid(zipped: Callable[..., Path], text: bytes) -> None:
    with pytest.raises(InvalidError, match=r"hostile\.4ml"):
        Package(zipped((NATIVE, text), manifest=False))


@pytest.mark.parametrize("name", [NATIVE, FORML])
def test_a_huge_manifest_is_invalid(zipped: Callable[..., Path], name: str) -> None:
    with pytest.raises(InvalidError, match="more than"):
        Package(zipped((name, b"#" * ((1 << 20) + 1)), manifest=False, compression=zipfile.ZIP_DEFLATED))


def test_a_manifest_that_is_an_expression_is_invalid(zipped: Callable[..., Path]) -> None:
    with pytest.raises(InvalidError, match="literals"):
        Package(zipped((FORML, b"NAME = input()\n" + FORML_TEXT.encode()), manifest=False))


# hostile archives

HARMFUL = [
    "/etc/passwd",
    "//etc/passwd",
    "../evil",
    "pkg/../../evil",
    "pkg/..",
    "..",
    ".",
    "pkg/./x",
    "pkg//x",
    "\\evil",
    "..\\evil",
    "pkg\\evil.py",
    "C:/evil",
    "C:evil",
    "pkg/a:stream",
    "pkg/a\nb",
    "pkg/\x1b[2J",
    "pkg/\u202egpj.py",
    "pkg/" + "x" * 256,
    "pkg/" + "ä" * 128,
]


@pytest.mark.parametrize("name", HARMFUL, ids=lambda name: repr(name)[:25])
@pytest.mark.parametrize("suffix", ["", "/"])
@pytest.mark.usefixtures("nothing_left")
def test_a_member_with_a_harmful_name_is_refused(zipped: Callable[..., Path], name: str, suffix: str) -> None:
    with pytest.raises(InvalidError, match="member"):
        Package(zipped((name + suffix, b"" if suffix else b"x")))


@pytest.mark.parametrize("hidden", ["pkg/a.py\0../../evil", "\0", "pkg/a\0"])
def test_a_name_with_a_nul_is_refused(zipped: Callable[..., Path], hidden: str) -> None:
    # ZipInfo would cut the name at the NUL, so it is put into the bytes
    placeholder = hidden.replace("\0", "~")
    path = zipped((placeholder, b"x"))
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), hidden.encode()))
    with pytest.raises(InvalidError):
        Package(path)


@pytest.mark.parametrize(
    "kind",
    [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK],
    ids=["link", "fifo", "c", "b", "sock"],
)
def test_a_member_that_is_no_file_is_refused(zipped: Callable[..., Path], kind: int) -> None:
    with pytest.raises(InvalidError, match="link, special"):
        Package(zipped((info("pkg/x", kind | 0o777), b"/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("pair", [("pkg/a", "pkg/a"), ("pkg/a", "pkg/a/"), ("pkg/a/", "pkg/a/")])
def test_a_duplicate_member_is_refused(zipped: Callable[..., Path], pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidError, match="two members"):
        Package(zipped(*((name, b"") for name in pair)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_manifest_is_refused(zipped: Callable[..., Path]) -> None:
    with pytest.raises(InvalidError, match="two members"):
        Package(zipped((NATIVE, MANIFEST.dumps().replace("1.0", "6.6").encode())))


@pytest.mark.parametrize("order", [1, -1])
def test_a_member_below_a_file_is_refused(zipped: Callable[..., Path], order: int) -> None:
    with pytest.raises(InvalidError, match="below a file"):
        Package(zipped(*[("pkg/a", b"x"), ("pkg/a/b/c", b"x")][::order]))


def test_an_encrypted_member_is_refused(zipped: Callable[..., Path]) -> None:
    path = zipped(("pkg/a", b"x"))
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.rindex(signature) + at] |= 1
    path.write_bytes(content)
    with pytest.raises(InvalidError, match="encrypted"):
        Package(path)


def test_a_bomb_by_ratio_is_refused(zipped: Callable[..., Path]) -> None:
    with pytest.raises(InvalidError, match="bomb"):
        Package(zipped(("pkg/zeros", b"\0" * ((64 << 20) + 1)), compression=zipfile.ZIP_DEFLATED))


def test_a_bomb_of_many_members_is_refused(zipped: Callable[..., Path]) -> None:
    members = [(f"pkg/{i}", b"\0" * (1 << 20)) for i in range(65)]
    with pytest.raises(InvalidError, match="bomb"):
        Package(zipped(*members, compression=zipfile.ZIP_DEFLATED))


def test_what_shrinks_well_but_is_small_is_no_bomb(zipped: Callable[..., Path]) -> None:
    assert Package(zipped(("pkg/zeros", b"\0" * (8 << 20)), compression=zipfile.ZIP_DEFLATED))


def test_more_bytes_than_allowed_are_refused(zipped: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(("pkg/a", b"x" * 600), ("pkg/b", b"x" * 600))
    monkeypatch.setattr(Package, "LIMIT", 1000)
    with pytest.raises(InvalidError, match="more than 1000 bytes"):
        Package(path)


def test_more_members_than_allowed_are_refused(
    zipped: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    path = zipped(*((f"pkg/{i}/", b"") for i in range(5)))
    monkeypatch.setattr(Package, "MEMBERS", 5)
    for package in (path, source):
        with pytest.raises(InvalidError, match="5 members"):
            Package(package)


def lie(path: Path, member: bytes, size: int) -> None:
    """Make the table of contents and the header of the last member tell another size of it."""
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        begin = content.rindex(signature)
        assert member in content[begin : begin + 100]
        content[begin + at : begin + at + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.usefixtures("nothing_left")
def test_a_member_that_is_larger_than_it_says_is_refused(zipped: Callable[..., Path], tmp_path: Path) -> None:
    path = zipped(("pkg/zeros", b"\0" * (100 << 20)), compression=zipfile.ZIP_DEFLATED)
    lie(path, b"pkg/zeros", 10)
    package = Package(path)
    with pytest.raises(InvalidError):
        package.install(tmp_path / "out" / "x")
    assert not (tmp_path / "out" / "x").exists()


def test_a_member_that_is_smaller_than_it_says_is_harmless(zipped: Callable[..., Path], tmp_path: Path) -> None:
    path = zipped(("pkg/small", b"x" * 10), compression=zipfile.ZIP_DEFLATED)
    lie(path, b"pkg/small", 1000)
    try:
        package = Package(path).install(tmp_path / "x")
    except InvalidError:
        return
    assert (package.path / "pkg" / "small").read_bytes() == b"x" * 10


@pytest.mark.usefixtures("nothing_left")
def test_a_damaged_member_is_found_when_it_is_unpacked(zipped: Callable[..., Path], tmp_path: Path) -> None:
    path = zipped(("pkg/a", b"good"), ("pkg/b", b"precious"))
    path.write_bytes(path.read_bytes().replace(b"precious", b"prec1ous"))
    package = Package(path)
    with pytest.raises(InvalidError, match="usable"):
        package.install(tmp_path / "out" / "x")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["zip", "bzip2", "lzma"]
)
def test_a_damaged_member_is_invalid(zipped: Callable[..., Path], tmp_path: Path, method: int) -> None:
    noise = random.Random(2).randbytes(2000)
    path = zipped((zipfile.ZipInfo("pkg/a"), noise))
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("pkg/b", noise * 3)
    content = path.read_bytes()
    begin = content.rindex(b"PK\3\4") + 60
    path.write_bytes(
        content[:begin] + bytes(byte ^ 0x55 for byte in content[begin : begin + 500]) + content[begin + 500 :]
    )
    with pytest.raises(InvalidError):
        Package(path).install(tmp_path / "x")


def test_a_zip_cut_anywhere_is_invalid(source: Path, tmp_path: Path) -> None:
    (source / "pkg" / "sub" / "data.bin").write_bytes(b"x" * 50)
    content = Package.create(source, tmp_path / "a.4ml").path.read_bytes()
    for end in range(0, len(content), 7):
        (tmp_path / "cut").write_bytes(content[:end])
        with pytest.raises(InvalidError):
            Package(tmp_path / "cut")


@pytest.mark.parametrize("seed", range(4))
def test_a_zip_with_random_bytes_in_it_is_a_package_or_an_error_of_ours(
    zipped: Callable[..., Path], tmp_path: Path, seed: int
) -> None:
    noise = random.Random(seed)
    path = zipped(("pkg/__init__.py", b"x = 1\n" * 9), ("pkg/d/", b""), compression=[0, 8, 12, 14][seed])
    content = path.read_bytes()
    for number in range(400):
        damaged = bytearray(content)
        for _ in range(noise.randint(1, 4)):
            damaged[noise.randrange(len(damaged))] = noise.randrange(256)
        path.write_bytes(damaged)
        try:
            Package(path).install(tmp_path / "out" / str(number))
        except Error:
            assert not (tmp_path / "out" / str(number)).exists()
    assert not list(tmp_path.rglob("*.partial"))


def test_nothing_outside_is_written_by_any_hostile_archive(zipped: Callable[..., Path], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive", "utf-8")
    for name in ("../canary", str(canary), "pkg/../../canary", "..\\canary"):
        with pytest.raises(InvalidError):
            Package(zipped((name, b"dead"))).install(tmp_path / "deep" / "x")
        assert canary.read_text("utf-8") == "alive"


def test_a_message_about_a_hostile_archive_names_it_and_the_member(zipped: Callable[..., Path]) -> None:
    with pytest.raises(InvalidError, match=r"hostile\.4ml.*\.\./evil"):
        Package(zipped(("../evil", b"")))


# folders


def test_a_folder_with_a_link_is_refused(source: Path) -> None:
    (source / "pkg" / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidError, match="link"):
        Package(source)


def test_a_folder_with_a_link_to_a_folder_is_refused(source: Path) -> None:
    (source / "pkg" / "link").symlink_to(source)
    with pytest.raises(InvalidError, match="link"):
        Package(source)


def test_a_folder_with_a_dangling_link_is_refused(source: Path) -> None:
    (source / "pkg" / "link").symlink_to("nowhere")
    with pytest.raises(InvalidError, match="link"):
        Package(source)


def test_a_folder_with_a_fifo_is_refused(source: Path) -> None:
    os.mkfifo(source / "pkg" / "fifo")
    with pytest.raises(InvalidError, match="fifo"):
        Package(source)


def test_a_folder_with_a_socket_is_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source / "pkg")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("sock")
        with pytest.raises(InvalidError, match="sock"):
            Package(source)


def test_a_folder_with_a_name_that_is_no_text_is_refused(source: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(source / "pkg") + b"/\xff")).touch()
    except OSError as error:
        assert error.errno == errno.EILSEQ  # noqa: PT017  # a file system that has no such names
        return
    with pytest.raises(InvalidError):
        Package(source)


def test_the_link_to_a_package_may_be_opened(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    assert Package(tmp_path / "link").manifest == MANIFEST


# making


def test_what_is_created_holds_what_the_folder_held(source: Path, tmp_path: Path) -> None:
    made = Package.create(source, tmp_path / "a.4ml").install(tmp_path / "installed")
    assert snapshot(made.path) == snapshot(source)


def test_equal_folders_give_equal_bytes(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "other" / "copy")
    for path in (tmp_path / "other" / "copy").rglob("*"):
        os.utime(path, (10**9, 10**9))
    one = Package.create(source, tmp_path / "a.4ml")
    other = Package.create(tmp_path / "other" / "copy", tmp_path / "b.4ml")
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.digest == other.digest


def test_files_that_are_older_than_zip_can_tell_are_packed(source: Path, tmp_path: Path) -> None:
    os.utime(source / "pkg" / "flow.py", (0, 0))
    assert Package.create(source, tmp_path / "a.4ml")


def test_byproducts_are_left_out(source: Path, tmp_path: Path) -> None:
    (source / "pkg" / "__pycache__").mkdir()
    (source / "pkg" / "__pycache__" / "flow.cpython-311.pyc").touch()
    made = Package.create(source, tmp_path / "a.4ml").install(tmp_path / "installed")
    assert not list(made.path.rglob("__pycache__"))


def test_a_manifest_that_is_passed_wins(source: Path, tmp_path: Path) -> None:
    other = Manifest("digits", "2.0", "pkg")
    package = Package.create(source, tmp_path / "a.4ml", other)
    assert package.manifest == other
    assert Package(source).manifest == MANIFEST


def test_a_folder_of_forml_is_packed_with_both_manifests(source: Path, tmp_path: Path) -> None:
    (source / NATIVE).unlink()
    (source / FORML).write_text(FORML_TEXT, "utf-8")
    package = Package.create(source, tmp_path / "a.4ml")
    assert package.manifest == Package(source).manifest
    assert (package.install(tmp_path / "x").path / FORML).read_text("utf-8") == FORML_TEXT


def test_an_existing_file_is_replaced_by_create(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.4ml").write_text("old", "utf-8")
    assert Package.create(source, tmp_path / "a.4ml").manifest == MANIFEST


@pytest.mark.usefixtures("nothing_left")
def test_a_failed_create_keeps_the_existing_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.4ml").write_text("old", "utf-8")
    (source / "pkg" / "link").symlink_to("x")
    with pytest.raises(InvalidError):
        Package.create(source, tmp_path / "a.4ml")
    assert (tmp_path / "a.4ml").read_text("utf-8") == "old"


@pytest.mark.usefixtures("nothing_left")
def test_a_folder_that_would_make_a_hostile_package_is_refused(source: Path, tmp_path: Path) -> None:
    (source / "pkg" / "a:b").touch()
    with pytest.raises(InvalidError):
        Package.create(source, tmp_path / "a.4ml")
    assert not (tmp_path / "a.4ml").exists()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("lost", ["source", "target", "folder", "file"])
def test_create_with_a_path_that_can_not_be_is_invalid(source: Path, tmp_path: Path, lost: str) -> None:
    target = tmp_path / "a.4ml"
    if lost == "source":
        source = tmp_path / "nowhere"
    elif lost == "target":
        target = tmp_path / "nowhere" / "a.4ml"
    elif lost == "folder":
        target.mkdir()
    else:
        source = source / "pkg" / "flow.py"
    with pytest.raises(InvalidError):
        Package.create(source, target)


@pytest.mark.parametrize(
    "call",
    [
        lambda source, out: untyped.create(5, out),
        lambda source, out: untyped.create(None, out),
        lambda source, out: untyped.create(source, 5),
        lambda source, out: untyped.create(source, ""),
        lambda source, out: untyped.create("a\0b", out),
        lambda source, out: untyped.create(source, "a\0b"),
        lambda source, out: untyped.create(source, out, {"name": "digits", "version": "1.0", "package": "pkg"}),
        lambda source, out: untyped.create(source, out, MANIFEST.dumps()),
        lambda source, out: untyped(source).install(5),
        lambda source, out: untyped(source).install("/"),
        lambda source, out: untyped(source).install("a\0b"),
        lambda source, out: untyped(source).install(source / "pkg" / "flow.py" / "x"),
        lambda source, out: untyped(source).copy(5),
        lambda source, out: untyped(source).copy("a\0b"),
        lambda source, out: untyped(source).copy(source / "pkg" / "flow.py" / "x"),
        lambda source, out: untyped(source).copy(out / "nowhere" / "x"),
    ],
    ids=[
        *("create 5", "create None", "create to 5", "create to ''", "create NUL", "create to NUL", "a dict", "a text"),
        *("install 5", "install /", "install NUL", "install below a file"),
        *("copy 5", "copy NUL", "copy below a file", "copy nowhere"),
    ],
)
def test_wrong_arguments_raise_errors_of_ours(source: Path, tmp_path: Path, call: Callable[..., object]) -> None:
    with pytest.raises(Error):
        call(source, tmp_path / "out")


# installing


def test_an_installation_has_the_modes_of_the_package(source: Path, tmp_path: Path) -> None:
    (source / "pkg" / "sub").chmod(0o555)
    (source / "pkg" / "flow.py").chmod(0o444)
    made = Package.create(source, tmp_path / "a.4ml").install(tmp_path / "installed")
    assert snapshot(made.path) == snapshot(source)


def test_bits_that_give_rights_are_not_installed(zipped: Callable[..., Path], tmp_path: Path) -> None:
    made = Package(zipped((info("pkg/x", stat.S_IFREG | 0o6755), b""))).install(tmp_path / "x")
    assert stat.S_IMODE((made.path / "pkg" / "x").stat().st_mode) == 0o755


def test_a_zip_without_modes_gets_usual_ones(zipped: Callable[..., Path], tmp_path: Path) -> None:
    plain, folder = zipfile.ZipInfo("pkg/x"), zipfile.ZipInfo("pkg/d/")
    made = Package(zipped((plain, b""), (folder, b""))).install(tmp_path / "x")
    assert stat.S_IMODE((made.path / "pkg" / "x").stat().st_mode) in (0o600, 0o644)
    assert (made.path / "pkg" / "d").is_dir()


def test_a_zip_that_lists_a_folder_after_its_files_is_installed(zipped: Callable[..., Path], tmp_path: Path) -> None:
    made = Package(zipped(("pkg/d/x", b"1"), (info("pkg/d/", stat.S_IFDIR | 0o555), b""))).install(tmp_path / "x")
    assert (made.path / "pkg" / "d" / "x").read_bytes() == b"1"
    assert stat.S_IMODE((made.path / "pkg" / "d").stat().st_mode) == 0o555


def test_read_only_folders_are_copied_installed_and_removed_without_rights_of_root() -> None:
    def work(folder: Path) -> None:
        source = folder / "source"
        (source / "pkg" / "sub").mkdir(parents=True)
        (source / NATIVE).write_text(MANIFEST.dumps(), "utf-8")
        (source / "pkg" / "sub" / "x").write_text("1", "utf-8")
        (source / "pkg" / "sub" / "x").chmod(0o444)
        (source / "pkg" / "sub").chmod(0o555)
        (source / "pkg").chmod(0o555)
        package = Package(source)
        assert snapshot(package.copy(folder / "copy").path) == snapshot(source)
        assert snapshot(Package.create(source, folder / "a.4ml").install(folder / "installed").path) == snapshot(source)
        with pytest.raises(InvalidError, match="exists"):
            package.install(folder / "installed")
        assert sorted(path.name for path in folder.iterdir()) == ["a.4ml", "copy", "installed", "source"]

    in_child_of_nobody(work)


def test_folders_that_nobody_may_read_are_cleaned_up() -> None:
    def work(folder: Path) -> None:
        with zipfile.ZipFile(folder / "a.4ml", "w") as archive:
            archive.writestr(NATIVE, MANIFEST.dumps())
            archive.writestr(info("pkg/", stat.S_IFDIR), b"")
            archive.writestr(info("pkg/d/", stat.S_IFDIR), b"")
            archive.writestr("pkg/d/x", b"1")
        (folder / "there").mkdir()
        with pytest.raises(InvalidError, match="exists"):
            Package(folder / "a.4ml").install(folder / "there")
        assert sorted(path.name for path in folder.iterdir()) == ["a.4ml", "there"]

    in_child_of_nobody(work)


def test_a_package_that_may_not_be_read_is_an_error_of_ours() -> None:
    def work(folder: Path) -> None:
        (folder / "a.4ml").write_bytes(b"PK")
        (folder / "a.4ml").chmod(0)
        with pytest.raises(StorageError, match=r"a\.4ml"):
            Package(folder / "a.4ml")
        (folder / "source" / "pkg").mkdir(parents=True)
        (folder / "source" / NATIVE).write_text(MANIFEST.dumps(), "utf-8")
        (folder / "source" / "pkg").chmod(0)
        with pytest.raises(Error):
            Package(folder / "source")

    in_child_of_nobody(work)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("folder", [True, False])
def test_installing_over_something_is_refused(source: Path, tmp_path: Path, folder: bool) -> None:
    there = tmp_path / "there"
    if folder:
        there.mkdir()
        (there / "x").write_text("mine", "utf-8")
    else:
        there.write_text("mine", "utf-8")
    with pytest.raises(InvalidError, match="exists"):
        Package(source).install(there)
    assert (there / "x" if folder else there).read_text("utf-8") == "mine"


def test_installing_onto_a_dangling_link_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidError, match="exists"):
        Package(source).install(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("nothing_left")
def test_an_installation_that_breaks_off_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    package = Package(source)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", full)
        with pytest.raises(StorageError, match="No space"):
            package.install(tmp_path / "out" / "x")
        with pytest.raises(Error):
            Package.create(source, tmp_path / "a.4ml")
    assert not (tmp_path / "a.4ml").exists()
    assert package.install(tmp_path / "x").path.is_dir()


# copying


@pytest.mark.parametrize("folder", [True, False])
def test_a_copy_equals_the_package(source: Path, tmp_path: Path, folder: bool) -> None:
    package = Package(source) if folder else Package.create(source, tmp_path / "a.4ml")
    copied = package.copy(tmp_path / "copy")
    assert copied.digest == package.digest
    assert copied.manifest == package.manifest
    if folder:
        assert snapshot(copied.path) == snapshot(source)
    else:
        assert copied.path.read_bytes() == package.path.read_bytes()


def test_a_copy_of_a_folder_has_its_byproducts_too(source: Path, tmp_path: Path) -> None:
    (source / "pkg" / "__pycache__").mkdir()
    (source / "pkg" / "__pycache__" / "x.pyc").write_text("x", "utf-8")
    assert snapshot(Package(source).copy(tmp_path / "copy").path) == snapshot(source)


@pytest.mark.parametrize("folder", [True, False], ids=["folder package", "zip package"])
@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_copy_never_touches_what_is_at_the_target(source: Path, tmp_path: Path, folder: bool, there: str) -> None:
    package = Package(source) if folder else Package.create(source, tmp_path / "a.4ml")
    target, precious = tmp_path / "target", tmp_path / "target"
    if there == "folder":
        target.mkdir()
        precious = target / "x"
    elif there == "link":
        precious = tmp_path / "elsewhere"
        target.symlink_to(precious)
    precious.write_text("precious", "utf-8")
    with pytest.raises(InvalidError):
        package.copy(target)
    assert precious.read_text("utf-8") == "precious"


def test_a_package_that_changed_since_it_was_opened_is_not_copied(source: Path, tmp_path: Path) -> None:
    package = Package(source)
    (source / NATIVE).write_text(MANIFEST.dumps().replace("1.0", "2.0"), "utf-8")
    with pytest.raises(InvalidError, match="changed"):
        package.copy(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_package_that_became_hostile_since_it_was_opened_is_not_copied(source: Path, tmp_path: Path) -> None:
    package = Package(source)
    (source / "pkg" / "link").symlink_to("/etc")
    with pytest.raises(InvalidError):
        package.copy(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("folder", [True, False])
def test_a_package_that_is_gone_since_it_was_opened_is_an_error_of_ours(
    source: Path, tmp_path: Path, folder: bool
) -> None:
    package = Package(source) if folder else Package.create(source, tmp_path / "a.4ml")
    shutil.rmtree(source)
    (tmp_path / "a.4ml").unlink(missing_ok=True)
    for use in (package.copy, package.install):
        with pytest.raises(Error):
            use(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()


def test_an_archived_folder_comes_back_equal(source: Path, tmp_path: Path) -> None:
    (source / "pkg" / "sub").chmod(0o511)
    Package(source).archive(tmp_path / "archive")
    Package.unarchive(tmp_path / "archive", tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(source)


# a value


def test_packages_of_one_path_are_equal(source: Path, tmp_path: Path) -> None:
    other = Package.create(source, tmp_path / "a.4ml")
    assert Package(source) == Package(str(source))
    assert hash(Package(source)) == hash(Package(str(source)))
    assert Package(source) != other
    assert Package(source) != str(source)


def test_a_package_survives_pickling(source: Path) -> None:
    back = pickle.loads(pickle.dumps(Package(source)))
    assert back == Package(source)
    assert back.manifest == MANIFEST


def test_the_repr_tells_the_path(source: Path) -> None:
    assert repr(Package(source)) == f"Package({str(source)!r})"


def test_a_large_member_is_packed_in_little_memory(tmp_path: Path, python: Callable[..., str]) -> None:
    source = tmp_path / "source"
    (source / "pkg").mkdir(parents=True)
    (source / NATIVE).write_text(MANIFEST.dumps(), "utf-8")
    noise = random.Random(3).randbytes(1 << 20)
    with (source / "pkg" / "large").open("wb") as file:
        for _ in range(96):
            file.write(noise)
    out = python(
        "import resource, sys, zipfile\n"
        "from pathlib import Path\n"
        "from modelkeep import Package\n"
        "source, out = map(Path, sys.argv[1:])\n"
        "package = Package(source)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "package.archive(out / 'archive')\n"
        "Package.unarchive(out / 'archive', out / 'back')\n"
        "package.digest\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n",
        source,
        tmp_path,
    )
    assert int(out) < 48 << 10


def test_the_recursion_limit_is_no_limit_of_depth(tmp_path: Path) -> None:
    deep = "pkg/" + "/".join("d" for _ in range(min(900, sys.getrecursionlimit() - 50)))
    path = tmp_path / "deep.4ml"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(NATIVE, MANIFEST.dumps())
        archive.writestr(f"{deep}/x", b"1")
    made = Package(path).install(tmp_path / "x")
    assert (made.path / deep / "x").read_bytes() == b"1"
    assert Package(made.path).digest.startswith("blake3:")


def test_a_package_made_in_its_own_folder_does_not_hold_itself(source: Path) -> None:
    first = Package.create(source, source / "made.4ml").path.read_bytes()
    assert Package.create(source, source / "made.4ml").path.read_bytes() == first


def test_the_digest_of_a_package_that_is_gone_is_an_error_of_ours(source: Path) -> None:
    package = Package(source)
    shutil.rmtree(source)
    with pytest.raises(StorageError, match="can not be read"):
        _ = package.digest
