"""Ansible doing the same by its iptables module, and the least that anything could do."""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import ClassVar, Self

import yaml

from lab.cache import cache_folder, made_once
from lab.checkout import CHECKOUT
from lab.lab import Lab

_PIN = "ansible-core==2.19.14"
_FIRST_PORT = 10000
_TO = "172.16.0.4:8080"


class Ansible:
    """Ansible on the operator of a lab; a context manager that leaves no rule behind."""

    VERSION: ClassVar = _PIN.replace("==", " ")

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._programs = made_once("ansible", (_PIN,), _install) / "bin"
        self._folder = tempfile.TemporaryDirectory(prefix="rt-ansible-")
        folder = Path(self._folder.name)
        vps = lab.host("vps")
        key = folder / "key"
        key.touch(0o600)
        key.write_text(lab.ssh_key.read_text())
        (folder / "known_hosts").write_text(f"{vps.address} {vps.host_key}\n")
        (folder / "hosts").write_text(f"vps ansible_host={vps.address} ansible_user=root\n")
        (folder / "ansible.cfg").write_text(
            "[defaults]\ninventory = hosts\nprivate_key_file = key\ngathering = explicit\n"
            "interpreter_python = /usr/bin/python3\n"
            f"[ssh_connection]\npipelining = true\nssh_args = {' '.join(self._ssh_options())}"
            " -o ControlMaster=auto -o ControlPersist=60s\n"
            f"control_path_dir = {folder}/control\n"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ssh("iptables -t nat -F PREROUTING")
        self._folder.cleanup()

    def play(self, forwards: int) -> float:
        """How long a run that makes sure of so many forwards takes, in seconds."""
        folder = Path(self._folder.name)
        ports = [_FIRST_PORT + n for n in range(forwards)]
        task = {
            "name": "forwards",
            "ansible.builtin.iptables": {
                "table": "nat",
                "chain": "PREROUTING",
                "protocol": "tcp",
                "destination_port": "{{ item }}",
                "jump": "DNAT",
                "to_destination": _TO,
                "comment": "forward {{ item }}",
            },
            "loop": ports,
        }
        (folder / "play.yaml").write_text(
            yaml.safe_dump([{"hosts": "vps", "gather_facts": False, "tasks": [task]}])
        )
        began = time.monotonic()
        self._run([str(self._programs / "ansible-playbook"), "play.yaml"])
        return time.monotonic() - began

    def restore(self, forwards: int) -> float:
        """How long one SSH call with one `iptables-restore` of so many takes, in seconds."""
        rules = [
            f"-A PREROUTING -p tcp --dport {_FIRST_PORT + n} -j DNAT --to-destination {_TO}"
            for n in range(forwards)
        ]
        began = time.monotonic()
        self._ssh("iptables-restore", "\n".join(["*nat", *rules, "COMMIT", ""]))
        return time.monotonic() - began

    def _ssh(self, command: str, given: str = "") -> None:
        vps = self._lab.host("vps")
        self._run(["ssh", "-i", "key", *self._ssh_options(), f"root@{vps.address}", command], given)

    def _ssh_options(self) -> list[str]:
        return ["-F", "none", "-o", f"UserKnownHostsFile={self._folder.name}/known_hosts"]

    def _run(self, words: list[str], given: str = "") -> None:
        home = f"ANSIBLE_HOME={self._folder.name}/home"
        command = ["env", "-C", self._folder.name, "ANSIBLE_CONFIG=ansible.cfg", home, *words]
        self._lab.operator.run(command, input=given, timeout=None)


def _install(folder: Path) -> None:
    """Put Ansible into an environment of its own, by the uv that the checkout is set up with."""
    uv = str(Path(_output([str(CHECKOUT / "lab" / "environment")])) / "uv")
    environment = os.environ | {"UV_CACHE_DIR": str(cache_folder() / "uv-cache")}
    python = str(folder / "bin" / "python")
    venv = [uv, "venv", "--quiet", "--relocatable", "--clear", str(folder)]
    subprocess.run(venv, env=environment, check=True)
    install = [uv, "pip", "install", "--quiet", "--python", python, _PIN]
    subprocess.run(install, env=environment, check=True)


def _output(words: list[str]) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
