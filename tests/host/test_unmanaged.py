"""The script for a server that nobody logs in to, and where it can't do its work."""

from collections.abc import Iterator

import pytest

from operate.unmanaged import install_script, uninstall_script
from settings import Packages
from tests.host.conftest import fresh_machine
from tests.host.locked import let_go_of_lists_after_first_update
from tests.host.machine import Machine, Result
from tests.host.tunnel import Tunnel
from tests.operate.wireguard import server_file
from tests.settings.samples import public_key

CONF = "/etc/wireguard/wg0.conf"


@pytest.fixture
def cabin() -> Iterator[Machine]:
    with fresh_machine() as machine:
        yield machine


def install(machine: Machine, packages: Packages = Packages.MANUAL) -> Result:
    script = install_script("wg0", server_file("cabin"), packages)
    return machine.run("sh", stdin=script, check=False)


def has_tunnel(machine: Machine) -> bool:
    return machine.run(f"test -e {CONF} -o -e /sys/class/net/wg0", check=False).status == 0


def test_it_comes_and_goes(cabin: Machine) -> None:
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts")
    before = cabin.run("iptables-save | grep -c '^-A' || true; ip rule").stdout
    assert install(cabin).status == 0
    assert cabin.run("stat -c %a /etc/wireguard/wg0.conf").stdout == "600\n"
    assert cabin.run("ip rule").stdout not in before
    assert "all is in place already" in install(cabin).stderr
    assert cabin.run("sh", stdin=uninstall_script("wg0")).status == 0
    assert not has_tunnel(cabin)
    assert cabin.run("iptables-save | grep -c '^-A' || true; ip rule").stdout == before


# What is lost of it: rules that somebody flushes; its interface, as where WireGuard is a program.
losses = pytest.mark.parametrize("loss", ["iptables -F FORWARD", "ip link del wg0"])
RULES = "ip rule; iptables-save | grep -e ^-A -e ^:RT | sed 's/ .0:0.$//'"


@pytest.fixture
def standing(cabin: Machine) -> tuple[Machine, str]:
    """One with a tunnel, and the rules that it had before."""
    before = cabin.run(RULES).stdout
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts")
    assert install(cabin).status == 0
    return cabin, before


def take_older_file(machine: Machine) -> None:
    """One as it was made once, of which each line had to succeed."""
    machine.run(rf"sed -i '/^PreUp/d; s/^\(PreDown = ip.*\) 2>.*/\1/' {CONF}")


@losses
def test_whatever_was_lost_comes_back_by_a_start(standing: tuple[Machine, str], loss: str) -> None:
    cabin, _ = standing
    whole = cabin.run(RULES).stdout
    cabin.run(f"{loss}; wg-quick down wg0; wg-quick up wg0")
    assert cabin.run(RULES).stdout == whole


@losses
def test_so_it_does_by_the_script_where_the_file_is_an_older_one(
    standing: tuple[Machine, str], loss: str
) -> None:
    cabin, _ = standing
    whole = cabin.run(RULES).stdout
    take_older_file(cabin)
    cabin.run(loss)
    assert install(cabin).status == 0
    assert cabin.run(RULES).stdout == whole


@pytest.mark.parametrize("loss", ["ip link del wg0", "iptables -F FORWARD", "iptables -t nat -F"])
def test_where_something_was_lost_not_all_is_in_place(
    standing: tuple[Machine, str], loss: str
) -> None:
    cabin, _ = standing
    whole = cabin.run(RULES).stdout
    cabin.run(loss)
    assert "the tunnel is up" in install(cabin).stderr
    assert cabin.run("ip link show wg0", check=False).status == 0
    assert cabin.run(RULES).stdout == whole
    assert "all is in place already" in install(cabin).stderr


@losses
@pytest.mark.parametrize("older", [False, True])
def test_nothing_stays_whatever_was_lost(
    standing: tuple[Machine, str], loss: str, *, older: bool
) -> None:
    cabin, before = standing
    if older:
        take_older_file(cabin)
    cabin.run(loss)
    assert "the tunnel is gone" in cabin.run("sh", stdin=uninstall_script("wg0")).stderr
    assert not has_tunnel(cabin)
    assert cabin.run(RULES).stdout == before


def test_it_goes_where_its_unit_has_gone_before(standing: tuple[Machine, str]) -> None:
    """As with its package; systemd then knows nothing to disable."""
    cabin, before = standing
    systemctl = cabin.run("command -v systemctl").stdout.strip()
    cabin.run(f"mv {systemctl} {systemctl}-before")
    cabin.write(systemctl, f'#!/bin/sh\n[ "$1" != disable ] && exec {systemctl}-before "$@"\n')
    cabin.run(f"chmod 755 {systemctl}")
    assert "the tunnel is gone" in cabin.run("sh", stdin=uninstall_script("wg0")).stderr
    assert not has_tunnel(cabin)
    assert cabin.run(RULES).stdout == before


def test_a_second_such_tunnel_leaves_the_first_as_it_is(standing: tuple[Machine, str]) -> None:
    """Both would have one mark and one table. Nor does it go with what the first one has."""
    cabin, _ = standing
    whole = cabin.run(f"{RULES}; ip route show table 7031").stdout
    script = install_script("wg1", server_file("cabin"), Packages.MANUAL)
    for _ in range(2):
        assert cabin.run("sh", stdin=script, check=False).status == 1
        assert cabin.run(f"{RULES}; ip route show table 7031").stdout == whole
    cabin.run("sh", stdin=uninstall_script("wg1"))
    assert cabin.run(f"{RULES}; ip route show table 7031").stdout == whole
    assert cabin.run("ls /etc/wireguard").stdout == "wg0.conf\n"


def test_a_managed_tunnel_on_the_same_server_keeps_its_way_and_it_has_its_own(
    cabin: Machine,
) -> None:
    """As of a friend's stack. Nor does the order matter."""
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts")
    managed = Tunnel(cabin)
    managed.install()
    managed.set_key()
    settings = managed.server_settings("172.16.0.4/24", public_key(1), "203.0.113.1:51820")
    managed.call("interface", stdin=settings)
    script = install_script("wg1", server_file("cabin"), Packages.MANUAL)
    assert cabin.run("sh", stdin=script, check=False).status == 0
    (mark, _) = cabin.read(f"{managed.files}/mark").split()
    for each, interface in ((mark, "wg0"), ("0x80000000", "wg1")):
        way = cabin.run(f"ip route get 198.51.100.10 mark {each}").stdout
        assert f" dev {interface} " in way


def test_it_leaves_the_table_of_another_vpn_alone(cabin: Machine) -> None:
    """wg-quick's first for a tunnel that takes everything, which may be there already."""
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts")
    cabin.run("ip link add vpn0 type veth peer vpn1; ip link set vpn0 up; ip link set vpn1 up")
    cabin.run("ip route add default dev vpn0 table 51820")
    cabin.run("ip rule add not fwmark 51820 lookup 51820 priority 32765")
    assert install(cabin).status == 0
    assert "dev vpn0" in cabin.run("ip route show table 51820").stdout
    # Visitors' answers come before what that VPN takes.
    assert " dev wg0 " in cabin.run("ip route get 198.51.100.10 mark 0x80000000").stdout
    assert " dev vpn0 " in cabin.run("ip route get 198.51.100.10").stdout


def test_an_interface_of_somebody_elses_stays(cabin: Machine) -> None:
    """It need not be wg-quick's, and so have a file."""
    cabin.run("ip link add wg0 type veth peer name wg0-else")
    done = install(cabin)
    assert done.status == 1
    assert "somebody else's: nothing was changed" in done.stderr
    assert cabin.run(f"ip link show wg0-else; ls {CONF}", check=False).stdout.count("wg0") == 2


def test_what_is_missing_is_named_where_it_may_install_nothing(cabin: Machine) -> None:
    cabin.run("rm /usr/bin/wg /usr/sbin/iptables")
    done = install(cabin)
    assert done.status == 1
    assert "install what is missing, and run this again: wireguard-tools iptables" in done.stderr
    assert not has_tunnel(cabin)


def test_while_another_apt_renews_its_lists_it_is_waited_for(cabin: Machine) -> None:
    """As the daily one does; nor does a repository that is out of order matter."""
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts")
    cabin.run("dpkg --purge --force-depends wireguard-tools 2>&1")
    cabin.run("echo 'deb file:/var/lib/none ./' >>/etc/apt/sources.list")
    let_go_of_lists_after_first_update(cabin)
    assert install(cabin, Packages.INSTALL).status == 0
    assert has_tunnel(cabin)


# In the place of the program, before it on the path: how it is called is noted.
NOTING = """\
#!/bin/sh
echo "$DEBIAN_FRONTEND $NEEDRESTART_MODE $*" >>/run/called
exec /usr/bin/apt-get "$@"
"""


def test_packages_are_installed_and_nothing_else_is_touched(cabin: Machine) -> None:
    """No service is restarted, no changed file replaced or asked for; as the helper does it."""
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts; : >/run/called")
    cabin.write("/usr/local/bin/apt-get", NOTING)
    cabin.run("chmod 755 /usr/local/bin/apt-get")
    assert install(cabin, Packages.INSTALL).status == 0
    assert cabin.read("/run/called") == ""  # nothing is missing
    cabin.run("dpkg --purge --force-depends wireguard-tools 2>&1")
    assert install(cabin, Packages.INSTALL).status == 0
    (called,) = (line for line in cabin.read("/run/called").splitlines() if " install " in line)
    assert called.startswith("noninteractive l ")
    assert " -o Dpkg::Options::=--force-confold " in f"{called} "


@pytest.mark.parametrize("asks", [True, False])
def test_ping_comes_along_where_it_is_to_ask_the_vps(cabin: Machine, *, asks: bool) -> None:
    cabin.write("/usr/local/bin/apt-get", '#!/bin/sh\necho "$*" >>/run/called\nexit 1\n')
    cabin.run("chmod 755 /usr/local/bin/apt-get; rm /usr/bin/wg /bin/ping")
    file = server_file("cabin")
    silent = "".join(line for line in file.splitlines(keepends=True) if " ping " not in line)
    script = install_script("wg0", file if asks else silent, Packages.INSTALL)
    assert cabin.run("sh", stdin=script, check=False).status == 1
    assert ("iputils-ping" in cabin.read("/run/called")) == asks


def test_where_ping_alone_is_missing_its_owner_is_told(cabin: Machine) -> None:
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts")
    assert "ping" not in install(cabin, Packages.INSTALL).stderr
    cabin.run("rm /bin/ping")
    done = install(cabin, Packages.INSTALL)
    assert done.status == 0
    assert "install it (Debian's iputils-ping)" in done.stderr


def test_so_it_is_where_there_is_no_apt(cabin: Machine) -> None:
    cabin.run("rm /usr/bin/wg /usr/bin/apt-get")
    assert "wireguard-tools" in install(cabin, Packages.INSTALL).stderr
    assert not has_tunnel(cabin)


def test_without_systemd_nothing_would_start_it(cabin: Machine) -> None:
    cabin.run("rmdir /run/systemd/system")
    done = install(cabin)
    assert done.status == 1
    assert "does not run systemd" in done.stderr
    assert not has_tunnel(cabin)


def test_one_that_does_not_start_is_said(cabin: Machine) -> None:
    script = install_script("wg0", "[Interface]\nPrivateKey = none\n", Packages.MANUAL)
    done = cabin.run("sh", stdin=script, check=False)
    assert done.status == 1
    assert "it does not start" in done.stderr
    assert "`journalctl -u wg-quick@wg0.service`" in done.stderr


def test_one_whose_endpoint_has_an_unknown_name_does_not_wait_forever(cabin: Machine) -> None:
    script = install_script("wg0", server_file("cabin"), Packages.MANUAL)
    done = cabin.run("sh", stdin=script.replace("START_WAIT=60", "START_WAIT=1"), check=False)
    assert done.status == 1
    assert "Mostly this host can't resolve the endpoint's name" in done.stderr


def test_a_start_that_fails_is_tried_again(cabin: Machine) -> None:
    """As at boot, when nobody is there to log in; of systemd, which is asked for that."""
    drop_in = "/etc/systemd/system/wg-quick@wg0.service.d/reverse-tunnel.conf"
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts")
    assert install(cabin).status == 0
    told = cabin.read(drop_in)
    assert "StartLimitIntervalSec=0\n[Service]\nAppArmorProfile=-unconfined\nExecStartPre=-" in told
    assert "\nRestart=on-failure\nRestartSec=15\n" in told
    # One that was set up by an older script gets it, too.
    cabin.run(f"rm {drop_in}")
    assert "all is in place already" in install(cabin).stderr
    assert cabin.read(drop_in) == told
    # Nor does it stay where somebody has taken the file away by hand.
    cabin.run(f"wg-quick down wg0; rm {CONF}")
    assert "nothing is here" in cabin.run("sh", stdin=uninstall_script("wg0")).stderr
    assert cabin.run(f"ls -d {drop_in.rpartition('/')[0]}", check=False).status != 0


def test_what_somebody_else_has_told_its_unit_stays(cabin: Machine) -> None:
    folder = "/etc/systemd/system/wg-quick@wg0.service.d"
    cabin.run(f"mkdir -p {folder}; echo '[Service]' >{folder}/reverse-tunnel.conf")
    cabin.run("sh", stdin=uninstall_script("wg0"))
    assert cabin.read(f"{folder}/reverse-tunnel.conf") == "[Service]\n"


def test_a_systemd_that_refuses_such_units_is_not_asked(cabin: Machine) -> None:
    cabin.run("echo 203.0.113.1 vps.example.org >>/etc/hosts")
    script = install_script("wg0", server_file("cabin"), Packages.MANUAL)
    cabin.run("sh", stdin=script, env={"STANDIN_SYSTEMD": "243"})
    drop_in = "/etc/systemd/system/wg-quick@wg0.service.d/reverse-tunnel.conf"
    assert "Restart=" not in cabin.read(drop_in)
