"""A lab: all its hosts, the operator's credentials, and their beginning and end."""

import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from lab.cache import cache_folder, empty_cache, locked, locked_if_free
from lab.checkout import CHECKOUT, lay_project
from lab.failure import LabError
from lab.hosts import identity, topology
from lab.hosts.host import Host, HostError, Layers, Place
from lab.hosts.operator_host import Operator
from lab.hosts.sandbox import Sandbox
from lab.hosts.switch import Switch
from lab.images.image import debian_tree
from lab.images.wireguard_go import wireguard_go
from lab.requirements import require_machine, require_room

DEFAULT_NAME = "lab"


class Lab:
    """The lab called `name` (letters, digits, `-`). Labs of different names never meet.

    Args:
        name: of the lab.
        program: the checkout whose program the operator runs; only where the lab has a project
            folder of its own, see `project`.

    Attributes:
        state: the folder of everything that this lab writes; it goes when the lab ends.
    """

    def __init__(self, name: str = DEFAULT_NAME, program: Path = CHECKOUT) -> None:
        self.name = name
        self._program = program
        self.state = cache_folder() / "labs" / name
        self._sandbox = Sandbox(self.state)
        self._complete = self.state / "complete"
        self._lock = self.state.with_name(f".{name}.lock")
        self._hosts: dict[str, Host] = {}

    # ---- beginning and end ----

    @property
    def is_up(self) -> bool:
        """Whether the lab stands, with all its hosts started."""
        return self._sandbox.pid is not None and self._complete.exists()

    def up(self, *, survives: bool = True) -> None:
        """Start the lab; nothing happens if it stands.

        Args:
            survives: whether it outlives the calling thread. If not, the kernel ends it with the
                thread, however that ends; its folder then goes with the next start or end of any.

        Raises:
            LabError: this machine lacks something, see requirements.py; or see `require_ours`.
            StepError, SandboxError, HostError: something failed; nothing of the lab is left.
        """
        require_machine()
        with locked(self._lock):
            if self.is_up:
                self.require_ours()
                return
            self._end()
            end_dead_labs()
            require_room()
            tree, wireguard = debian_tree(), wireguard_go()
            try:
                self._lay_folders(tree, wireguard)
                self._sandbox.start(survives=survives)
                self._switch.build()
                _at_once(lambda host: host.start(), self.hosts(), otherwise=self._sandbox.end)
                self._complete.touch()
            except BaseException:
                self._end()
                self._lock.unlink()
                raise

    @contextmanager
    def standing(self) -> Iterator[Self]:
        """The lab for the length of a block, with which it ends, however that ends."""
        self.up(survives=False)
        try:
            yield self
        finally:
            self.down()

    def require_ours(self) -> None:
        """Check that the lab, which is up, is not that of another checkout.

        Raises:
            LabError: it is; the message says whose.
        """
        if self._is_in_checkout and self.project != CHECKOUT:
            raise LabError(
                f"the lab that is up is that of {self.project}: use it there, or end it by lab/down"
            )

    def down(self) -> None:
        """End the lab and remove what it wrote; nothing happens if there is none."""
        if self._lock.exists():
            with locked(self._lock):
                self._end()
                self._lock.unlink()

    def end_if_dead(self) -> None:
        """Remove what the lab has left if its program was killed."""
        with locked_if_free(self._lock) as held:  # not a lab that is just starting
            if held and self._sandbox.pid is None:
                self._end()
                self._lock.unlink()

    def _end(self) -> None:
        self._hosts.clear()
        if self.state.exists():
            self._sandbox.end()
            shutil.rmtree(self.state)

    def _lay_folders(self, tree: Path, wireguard: Path | None) -> None:
        self.state.mkdir(parents=True, mode=0o700)
        # A lab keeps the image it was started with, whatever the checkout says later.
        (self.state / "tree").symlink_to(tree)
        identity.lay_common(self.state / "common", tree, wireguard)
        key = identity.new_key(self.ssh_key, tree, "the lab's operator")
        for facts in topology.NODES:
            identity.lay_identity(facts, self._layers(facts).identity, tree, key)
        (self.state / "passphrase").write_text(secrets.token_hex(16))
        (self.state / "pulumi").mkdir()
        if self._is_in_checkout:
            (self.state / "checkout").write_text(str(CHECKOUT))
        else:
            lay_project(self.project, self._program)

    # ---- hosts ----

    def host(self, name: str) -> Host:
        """The host called `name`, see `topology.NODES`.

        Raises:
            HostError: there is no such host.
        """
        for host in self.hosts():
            if host.name == name:
                return host
        raise HostError(f"no host is called {name!r}; there are {', '.join(self._hosts)}")

    def hosts(self) -> list[Host]:
        """All hosts."""
        if not self._hosts:
            for facts in topology.NODES:
                folder = self.state / "hosts" / facts.name
                place = Place(self._sandbox, self._switch, folder, self._layers(facts))
                self._hosts[facts.name] = (
                    Operator(facts, place, self.state, self.project)
                    if facts.name == "operator"
                    else Host(facts, place)
                )
        return [*self._hosts.values()]

    @property
    def operator(self) -> Operator:
        """The host whose commands run on this machine's file system."""
        operator = self.host("operator")
        assert isinstance(operator, Operator)  # noqa: S101  # as made above
        return operator

    def reset(self, *names: str, **systems: Sequence[Path]) -> None:
        """Put hosts back to the image, or to another system, all at once; see `Host.reset`.

        lab.reset("attic", vps=systems.release("trixie"))
        """
        wanted: dict[str, Sequence[Path]] = {**dict.fromkeys(names, ()), **systems}
        _at_once(
            lambda host: host.reset(system=wanted[host.name]), [self.host(name) for name in wanted]
        )

    def cut(self, host: str, interface: str | None = None) -> None:
        """Pull the cable of an interface, by default of the one towards the internet."""
        self._switch.set_link(self.host(host).facts, up=False, interface=interface)

    def heal(self, host: str, interface: str | None = None) -> None:
        """Plug the cable in again."""
        self._switch.set_link(self.host(host).facts, up=True, interface=interface)

    def set_mapping_life(self, seconds: int) -> None:
        """How long the carrier keeps an idle UDP mapping, from now on, also after its reboot."""
        carrier, path = self.host("carrier"), identity.MAPPING_LIFE_FILE
        carrier.write(path, identity.mapping_life_settings(seconds))
        carrier.run(["sysctl", "-q", "-p", path])

    # ---- the operator's things ----

    @property
    def ssh_key(self) -> Path:
        """The private key with which the operator logs in; made when the lab starts."""
        return self.state / "ssh-key"

    @property
    def project(self) -> Path:
        """The project folder: the checkout, or for a lab of another name a folder of its own.

        The latter shares the program with a checkout, but has other stack files. The checkout is
        the one that has started the lab.
        """
        if not self._is_in_checkout:
            return self.state / "project"
        record = self.state / "checkout"
        return Path(record.read_text()) if record.exists() else CHECKOUT

    @property
    def _is_in_checkout(self) -> bool:
        return self.name == DEFAULT_NAME

    @property
    def _switch(self) -> Switch:
        return Switch(self._sandbox, self._tree, self.state)

    @property
    def _tree(self) -> Path:
        return (self.state / "tree").resolve()

    def _layers(self, facts: topology.Node) -> Layers:
        own = self.state / "hosts" / facts.name / "identity"
        return Layers(own, self.state / "common", self._tree)


def end_dead_labs() -> None:
    """Remove what labs have left whose programs were killed."""
    for lab in _all_labs():
        lab.end_if_dead()


def purge() -> None:
    """Remove all that set-up has ever made in the cache.

    Raises:
        LabError: a lab stands that was started from it.
        OSError: something can't be removed.
    """
    end_dead_labs()  # what they have left running is found by what is removed here
    standing = [lab.name for lab in _all_labs() if lab.is_up]
    if standing:
        raise LabError(f"these labs are still up: {', '.join(standing)}")
    empty_cache()


def _all_labs() -> list[Lab]:
    return [Lab(folder.name) for folder in (cache_folder() / "labs").glob("[!.]*")]


def _at_once(
    action: Callable[[Host], None],
    hosts: Iterable[Host],
    otherwise: Callable[[], None] = lambda: None,
) -> None:
    """Do something to several hosts in parallel; the first error is raised when all are done.

    Args:
        action: what to do.
        hosts: to whom.
        otherwise: called on an error or an interruption, before the wait for the rest of them.
    """
    with ThreadPoolExecutor() as pool:
        try:
            for done in [pool.submit(action, host) for host in hosts]:
                done.result()
        except BaseException:
            otherwise()
            raise
