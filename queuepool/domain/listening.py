"""The `http:` section of the file, resolved: where to listen, and who may come in. Serving it is
control/listener.py's."""

from __future__ import annotations

from pydantic import SecretStr

from queuepool.domain.access import Account, Listening, Role, Secret
from queuepool.domain.places import File, absolute
from queuepool.domain.spec import Http, Login, Settings, Token


def listening(file: File) -> Listening | None:
    """What the main file says of control by TCP; None where it says nothing."""
    said = file.section.http if isinstance(file.section, Settings) else None
    if said is None:
        return None
    here = file.place.here
    users = [Account(name, Role(user.role), _secret(user, "password", here)) for name, user in said.users.items()]
    if said.username is not None:
        users.insert(0, Account(said.username, Role.OPERATOR, _secret(said, "password", here)))
    tokens = [Account(name, Role(token.role), _secret(token, "token", here)) for name, token in said.tokens.items()]
    certificate = absolute(here, said.tls_cert) if said.tls_cert else ""
    return Listening(
        listen=said.listen,
        users=tuple(users),
        tokens=tuple(tokens),
        tls_cert=certificate,
        tls_key=absolute(here, said.tls_key) if said.tls_key else certificate,
        root_path=said.root_path,
        allowed_hosts=said.allowed_hosts,
        proxies=said.trusted_proxies,
    )


def _secret(said: Http | Login | Token, what: str, here: str) -> Secret:
    plain, hashed = getattr(said, what), getattr(said, f"{what}_hash")
    if isinstance(plain, SecretStr):
        return Secret("plain", plain.get_secret_value())
    if isinstance(hashed, SecretStr):
        return Secret("hash", hashed.get_secret_value())
    return Secret("file", absolute(here, getattr(said, f"{what}_file")))
