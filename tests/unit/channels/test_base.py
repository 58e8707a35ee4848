from __future__ import annotations

import pytest

from skene_airflow.channels import CHANNELS, ChannelConfig, make_channel
from skene_airflow.errors import SettingsError


def test_an_unknown_type_is_told_which_are_known() -> None:
    with pytest.raises(SettingsError, match=r"'ftp'.*outbox, resend, smtp"):
        make_channel(ChannelConfig("ftp"))


def test_each_channel_is_registered_by_its_own_name() -> None:
    assert all(channel.name == name for name, channel in CHANNELS.items())


def test_secrets_stay_out_of_sight() -> None:
    config = ChannelConfig("resend", password="re_secret", extra={"webhook_secret": "whsec_x"})
    assert "secret" not in repr(config)


def test_only_the_outbox_stays_on_this_machine() -> None:
    assert {name for name, channel in CHANNELS.items() if channel.local} == {"outbox"}


@pytest.mark.parametrize(("value", "read"), [(True, True), ("False", False), ("1", True), (None, None), ("", None)])
def test_flags_are_read_however_they_are_written(value: object, read: bool | None) -> None:
    assert ChannelConfig("smtp", extra={"disable_tls": value}).flag("disable_tls") is read


def test_a_flag_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="disable_tls"):
        ChannelConfig("smtp", extra={"disable_tls": "maybe"}).flag("disable_tls")


@pytest.mark.parametrize("value", ["soon", 0, -1, "nan", 1e9])
def test_seconds_must_be_seconds(value: object) -> None:
    with pytest.raises(SettingsError, match="timeout"):
        ChannelConfig("smtp", extra={"timeout": value}).seconds("timeout", 30.0)


def test_the_from_address_comes_from_the_extra() -> None:
    config = ChannelConfig("outbox", host="x", extra={"from_email": " Acme <hi@acme.example> "})
    assert make_channel(config).from_email == "Acme <hi@acme.example>"
    assert make_channel(ChannelConfig("outbox", host="x")).from_email == ""
