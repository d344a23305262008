"""A login as it is shown: where it goes, and never its key."""

from reach import Login
from tests.settings.samples import SSH_KEY, host_key


def test_a_login_never_shows_its_key() -> None:
    login = Login("192.0.2.1", 22, "hex", host_key(1), SSH_KEY)
    secret = SSH_KEY.splitlines()[1]
    assert secret not in repr(login)
    assert secret not in str(login)


def test_a_login_is_written_as_ssh_takes_it() -> None:
    assert str(Login("192.0.2.1", 22, "hex", "", None)) == "hex@192.0.2.1"
    assert str(Login("192.0.2.1", 2222, "hex", "", None)) == "hex@192.0.2.1:2222"
    assert str(Login("2001:db8::1", 22, "root", "", None)) == "root@[2001:db8::1]"
    through = Login("192.0.2.1", 22, "root", "", None)
    far = Login("172.16.0.4", 22, "hex", "", None, through)
    assert str(far) == "hex@172.16.0.4 through root@192.0.2.1"
