"""Ceph's RADOS gateway with the smallest cluster that there is: a monitor, one OSD, one gateway, all on loopback.

It needs the programs of Debian's packages ceph-mon, ceph-osd and radosgw, which root gets installed. No part of it
touches a Ceph that is configured on this machine: everything is in a temporary folder, configuration included.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from email.utils import formatdate
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelkeep_object.testing.keeper import Keeper, free_ports
from modelkeep_object.testing.servers import Server

_PACKAGES: Final = ("ceph-mon", "ceph-osd", "radosgw")
_PROGRAMS: Final = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
#: For how long each step may take, in seconds.
_PATIENCE: Final = 120.0
_CONFIGURATION: Final = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
run dir = {folder}/run
pid file = {folder}/run/$name.pid
admin socket = {folder}/run/$name.$pid.asok
log file = {folder}/log/$name.log
crash dir = {folder}/log
# nobody else reaches it
auth cluster required = none
auth service required = none
auth client required = none
# the gateway asks for encryption otherwise, which can not be had without authentication
ms mon client mode = crc
mon warn on insecure global id reclaim allowed = false
# everything is kept once, on the one OSD
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
rgw rados pool pg num min = 4
mon max pg per osd = 1000
[mon]
mon data = {folder}/mon
mon cluster log file = {folder}/log/cluster.log
# a full disk of the machine is no affair of the tests
mon data avail warn = 2
mon data avail crit = 1
[osd]
osd data = {folder}/osd
osd objectstore = bluestore
osd memory target = 1073741824
# a sparse file
bluestore block size = 21474836480
bluestore block db create = false
bluestore block wal create = false
[client]
rgw frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1
rgw data = {folder}/run
rgw run sync thread = false
rgw enable quota threads = false
rgw enable lc threads = false
"""


class Ceph:
    """A cluster in a folder of its own.

    Attributes:
        user: What may do everything with its bucket.
    """

    def __init__(self) -> None:
        """Start a cluster.

        Raises:
            RuntimeError: Its programs are not here, and can't be installed; or it does not start.
        """
        _install()
        self._folder = Path(tempfile.mkdtemp(prefix="modelkeep-ceph-"))
        for name in ("run", "log", "mon", "osd"):
            (self._folder / name).mkdir()
        monitor, gateway = free_ports(2)
        fsid = str(uuid4())
        self._configuration = self._folder / "ceph.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(fsid=fsid, folder=self._folder, monitor=monitor, gateway=gateway)
        )
        self.user = Server(f"http://127.0.0.1:{gateway}", "userkey", "usersecret", "models")
        self._keepers: list[Keeper] = []
        try:
            self._start(fsid, monitor)
        except (subprocess.SubprocessError, TimeoutError) as error:
            text = (self._folder / "log" / "out").read_text(errors="replace")
            self.close()
            raise RuntimeError(f"Ceph does not start: {error}\n{text[-2000:]}") from None
        except BaseException:
            self.close()
            raise

    def _start(self, fsid: str, monitor: int) -> None:
        plan, disk = str(self._folder / "monmap"), str(uuid4())
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{monitor}]", plan)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", plan)
        self._keep("ceph-mon", "-i", "a", "-f")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--no-mon-config", "--osd-uuid", disk)
        self._run("ceph", "--connect-timeout", "60", "osd", "new", disk)
        self._keep("ceph-osd", "-i", "0", "-f")
        # this makes the pools, and so waits for the OSD
        key, secret = f"--access-key={self.user.key}", f"--secret={self.user.secret}"
        self._run("radosgw-admin", "user", "create", "--uid=user", "--display-name=user", key, secret)
        self._keep("radosgw", "-n", "client.rgw", "-f")
        until = time.monotonic() + _PATIENCE
        while not self._make_bucket():
            if time.monotonic() > until:
                raise TimeoutError("the gateway makes no bucket")
            time.sleep(0.2)
        self.user.wait(_PATIENCE)

    def _run(self, program: str, *arguments: str) -> None:
        with (self._folder / "log" / "out").open("ab") as log:
            subprocess.run(  # noqa: S603  # our own
                [_find(program), "-c", str(self._configuration), *arguments]
                if program != "monmaptool"
                else [_find(program), *arguments],
                stdout=log,
                stderr=log,
                timeout=_PATIENCE,
                check=True,
                env={**os.environ, "CEPH_CONF": str(self._configuration), "CEPH_ARGS": ""},
            )

    def _keep(self, program: str, *arguments: str) -> None:
        command = [_find(program), "-c", str(self._configuration), *arguments]
        # the folder goes with the monitor, which is the last to end
        leaves = [self._folder] if program == "ceph-mon" else []
        self._keepers.append(Keeper(command, self._folder / "log" / "out", leaves=leaves))

    def _make_bucket(self) -> bool:
        """Make the bucket, by a request signed in the old way, which is some lines instead of some dozens."""
        date = formatdate(usegmt=True)
        signed = hmac.digest(self.user.secret.encode(), f"PUT\n\n\n{date}\n/{self.user.bucket}".encode(), hashlib.sha1)
        signature = base64.b64encode(signed).decode()
        request = urllib.request.Request(  # noqa: S310  # http, on loopback
            f"{self.user.endpoint}/{self.user.bucket}",
            method="PUT",
            headers={"Date": date, "Authorization": f"AWS {self.user.key}:{signature}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30):  # noqa: S310  # same
                return True
        except (urllib.error.URLError, OSError):
            return False

    def close(self) -> None:
        """Stop the cluster and remove its data."""
        # the gateway first: without the others it would not end
        for keeper in reversed(self._keepers):
            with contextlib.suppress(subprocess.TimeoutExpired):
                keeper.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _find(program: str) -> str:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin") or program


def _install() -> None:
    if all(shutil.which(_find(program)) for program in _PROGRAMS):
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise RuntimeError(f"There is no Ceph here. Install the packages {', '.join(_PACKAGES)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([apt, "update", "-q"], env=environment, check=False)  # noqa: S603  # what root wants of us
    command = [apt, "install", "-y", "-q", "--no-install-recommends", *_PACKAGES]
    subprocess.run(command, env=environment, check=True)  # noqa: S603  # same
