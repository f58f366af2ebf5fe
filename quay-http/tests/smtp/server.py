"""A mail server for tests: keeps each mail as a line of JSON.

server.py PORT FILE [CERTIFICATE KEY]: with a certificate it insists on STARTTLS and on a login of quay with the
password secret. Mail to refused@ is refused, mail to busy@ is put off.
"""

import json
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Handler:
    def __init__(self, path):
        self.path = path

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused@"):
            return "550 no such mailbox"
        if address.startswith("busy@"):
            return "450 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        with open(self.path, "a", encoding="utf-8") as file:
            mail = {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "content": envelope.content.decode("utf-8"),
                "tls": session.ssl is not None,
                "login": session.authenticated,
            }
            file.write(json.dumps(mail) + "\n")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (b"quay", b"secret")
    return AuthResult(success=right, handled=False)


port, path, *rest = sys.argv[1:]
options = {}
if rest:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*rest)
    options = {
        "tls_context": context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
    }
Controller(Handler(path), hostname="127.0.0.1", port=int(port), **options).start()
print("ready", flush=True)
threading.Event().wait()
