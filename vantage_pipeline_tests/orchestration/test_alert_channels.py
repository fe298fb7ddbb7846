from __future__ import annotations

from collections.abc import Callable

import pytest

from vantage_pipeline.orchestration.alerting.channels import channels_of, send
from vantage_pipeline.settings import Settings
from vantage_pipeline_tests.alert_channels import mail_server, webhook


def test_a_message_arrives_by_webhook_and_by_mail(make_settings: Callable[..., Settings]) -> None:
    with webhook() as hook, mail_server() as mail:
        settings = make_settings(ALERT_URLS=f"{hook.url} {mail.url}")
        for channel in channels_of(settings):
            assert send(channel, settings, "accounts failed", "API_UNREACHABLE: no answer") == ""
        assert hook.told == [("accounts failed", "API_UNREACHABLE: no answer")]
        ((subject, body),) = mail.told
        assert subject == "accounts failed"
        assert "API_UNREACHABLE: no answer" in body


def test_channels_are_named_without_their_address(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(
        ALERT_URLS="json://a.example.com json://b.example.com slack://T1234567A/B1234567B/xyz nonsense"
    )
    found = channels_of(settings)
    assert [channel.name for channel in found] == ["json", "json 2", "slack", "address"]
    assert "example" not in repr(found)
    assert channels_of(make_settings()) == ()


def test_a_failing_channel_tells_why_and_raises_nothing(
    make_settings: Callable[..., Settings], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(ALERT_URLS="json://u:pass-word-9@127.0.0.1:9/s3cret-token nonsense")
    refused, unknown = (send(channel, settings, "t", "b") for channel in channels_of(settings))
    assert "JSON" in refused
    assert "not an Apprise URL" in unknown
    said = " ".join((refused, unknown, *capfd.readouterr(), caplog.text))
    assert not any(secret in said for secret in ("pass-word-9", "s3cret-token"))


def test_every_part_of_an_alert_url_that_may_be_a_secret_is_masked(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(
        ALERT_URLS="slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ tgram://123456789:abcdefg-hijk/55 "
        "mailtos://duty:pa55@mail.example.com?to=ops@example.com",
        VANTAGE_AUTH_TOKEN="recognisable-token",
    )
    text = settings.mask(
        "T1JJ3T3L2 A1BRTD4JD TIiajkdnlazkcOXrIdevi7FQ 123456789 abcdefg-hijk pa55 recognisable-token mail.example.com"
    )
    assert text == "*** *** *** *** *** *** *** mail.example.com"
