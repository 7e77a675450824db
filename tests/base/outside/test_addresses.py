"""Addresses in messages: no form of a password, a token or an option is told."""

import pytest

from moclip.base.outside.addresses import has_secrets, shown_address, without_secrets

SECRET = "S3cret"
FORMS = (
    f"postgresql://u:{SECRET}@h/db",
    f"postgresql://u:a/{SECRET}@h/db",
    f"postgresql://u:a@{SECRET}@h/db",
    f"postgresql://u:a {SECRET} b@h/db",
    f"postgresql://u:a?{SECRET}#c@h/db",
    f"postgresql://h/db?user=u&password={SECRET}",
    f"postgresql://h/db?sslmode=on&sslpassword={SECRET}&x=1",
    f"postgresql://h/db?x={SECRET}",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3DODBC%3BUID%3Du%3BPWD%3D{SECRET}",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3DODBC%3BPWD%3D%7B{SECRET}%7D%3BUID%3Du",
    f"https://{SECRET}@h/x",
    f"https://u:{SECRET}%40x@h:8443/x?y#z",
    f"https://h/x?X-Amz-Signature={SECRET}",
    f"https://h/x#{SECRET}",
    f"https://u%3A{SECRET}%40h:8443/x",
    f"https://h/x.zip;token={SECRET}",
)


@pytest.mark.parametrize("address", FORMS)
def test_no_form_of_a_secret_is_shown(address: str) -> None:
    assert SECRET not in shown_address(address)
    for text in (f"cannot reach '{address}' (refused)", f"{address}: down", f"{SECRET} is wrong, not {address!r}"):
        told = without_secrets(text, address) if " is wrong" not in text or "password" in address.lower() else ""
        assert SECRET not in told, told
    if " " not in address:
        assert SECRET not in without_secrets(f"cannot reach '{address}' (refused)")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no http://h/x here, mail me@host", "no http://h/x here, mail me@host"),
        ("see http://h/x?a=1, then y", "see http://h/x?*** then y"),
        ("sqlite:////home/me@corp/mlflow.db", "sqlite:////home/me@corp/mlflow.db"),
        ("dsn: host=h password=S3cret user=u", "dsn: host=h password=*** user=u"),
        ("PWD={a;b};UID=u", "PWD=***;UID=u"),
        ("the token is missing", "the token is missing"),
    ],
)
def test_the_rest_of_a_message_stays(text: str, told: str) -> None:
    assert without_secrets(text) == told


def test_user_alone_is_no_word_to_take_out() -> None:
    assert without_secrets("moclip runs", "postgresql://moclip@h/db") == "moclip runs"


@pytest.mark.parametrize(
    "address", ["https://u@h/x", "https://u:a/b@h/x", "https://u:1/b@h/x", "https://u:a?b#c@h/x", "https://u%3Aa%40h/x"]
)
def test_an_address_with_a_password_is_known_by_its_sign_wherever_that_stands(address: str) -> None:
    assert has_secrets(address)
    assert not has_secrets("https://h:80/x%40y?raw=1")
