"""The tables of the data path, before anything is measured."""

from lab.benchmark.contenders import WIREGUARD
from lab.benchmark.figures import Column, Table

DOWN = Column(name="down", unit="Mbit/s", better="more")
UP = Column(name="up", unit="Mbit/s", better="more")
DOWN_8 = Column(name="down, 8 streams", unit="Mbit/s", better="more")
UP_8 = Column(name="up, 8 streams", unit="Mbit/s", better="more")
FLOWS = {DOWN: (1, True), UP: (1, False), DOWN_8: (8, True), UP_8: (8, False)}
"""Of those that carry as much as they can: streams at once, and whether from home."""

NEW = Column(name="new connections", unit="1/s", better="more")
P50 = Column(name="p50", unit="ms", better="less")
P99 = Column(name="p99", unit="ms", better="less")
BUSY = Column(name="p99 of 16 at once", unit="ms", better="less")

LOST = Column(name="lost", unit="%", better="less")
JITTER = Column(name="jitter", unit="ms", better="less")
LOST_BESIDE = Column(name="lost, download beside", unit="%", better="less")
JITTER_BESIDE = Column(name="jitter, download beside", unit="ms", better="less")

CPU = Column(name="CPU", unit="s/GB", better="less")
MEMORY = Column(name="memory", unit="MB", better="less")
IDLING = Column(name="idle traffic", unit="MB/day", better="less")
SEEN = Column(name="the service sees")
SECRET = Column(name="encrypted")

RESENT_DOWN = Column(name="sent again down", unit="%", better="less")
RESENT_UP = Column(name="sent again up", unit="%", better="less")

THROUGHPUT = Table(
    title="Throughput",
    label="way",
    columns=(*FLOWS,),
    reference=WIREGUARD.name,
    plot="bars",
    about="TCP, as much as goes: down is from home to the visitor.",
)
REQUESTS = Table(
    title="Requests",
    label="way",
    columns=(NEW, P50, P99, BUSY),
    reference=WIREGUARD.name,
    plot="bars",
    about="Small pages by HTTP: each by a connection of its own, as many as come about (16 at"
    " once); 400 a second over four open connections; 16 open connections that never rest.",
)
PACKETS = Table(
    title="Packets of a game",
    label="way",
    columns=(LOST, JITTER, LOST_BESIDE, JITTER_BESIDE),
    reference=WIREGUARD.name,
    plot="bars",
    about="UDP, 50 packets of 200 bytes a second each way; then with a TCP download beside it that"
    " takes all it gets. Jitter is that of the worse direction.",
)
SPENDING = Table(
    title="What it costs the VPS, and who is seen",
    label="way",
    columns=(CPU, MEMORY, IDLING, SEEN, SECRET),
    reference=WIREGUARD.name,
    plot="bars",
    about="CPU: of all processes of the VPS, while the throughput was measured; what the kernel"
    " itself does for packets that pass through is nobody's and is not in it. Memory: what the"
    " VPS's processes hold more (PSS) after all loads than before it stood. Idle traffic:"
    " between VPS and home, by IP, from a silence of two minutes.",
)
ALGORITHMS = Table(
    title="Congestion control",
    label="way",
    columns=(DOWN, UP, RESENT_DOWN, RESENT_UP),
    about="Of the two ends of the visitor's connection; proxies have one more of their own to the"
    " VPS, which stays with cubic.",
)
CURRENT = "wireguard-go"
LIMITED = f"{CURRENT} that may take 85 MiB"  # what this project's tunnel gets of a VPS of 512 MB
SINGLE = f"{CURRENT} on one processor"
WAITING = f"{SINGLE} that it waits for"
DEBIANS = "Debian 12's wireguard-go"
BACKPORTED = "that of Debian 12's backports"
VERSION = Column(name="version")
PROGRAMS = Table(
    title="Where the kernel has no WireGuard: which program",
    label="program",
    columns=(VERSION, DOWN, UP, NEW, BUSY, MEMORY),
    plot="bars",
    about="WireGuard alone, by hand; what the VPS's processes hold more after all loads. One that"
    " waits for its processor takes it from nobody who is at work (`CPUSchedulingPolicy=batch`).",
)
FIRST, LAST = "asked first", "asked last"
PLACES = Table(
    title="The first of 1,000 forwards and the last",
    label="forward",
    columns=(NEW,),
    reference=FIRST,
    about="In turns, by the same tunnel: what one costs by coming behind all others.",
)
RULES = Table(
    title="What a forward's rule asks first",
    label="rule",
    columns=(NEW, BUSY),
    about="With 1,000 forwards, pages by the one whose rule comes last.",
)
COUNTS = Table(
    title="This project by the number of forwards",
    label="forwards",
    columns=(DOWN, UP, NEW, P50, P99, BUSY),
    reference="1",
    plot="lines",
    about="Pages are asked for by the forward whose rule comes last. The forwards were written as"
    " files on the VPS, as `up` does, and the tunnel started.",
)
