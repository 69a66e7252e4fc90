"""Options that every command shares, and what they give a command: a client and a place to print to."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer
from rich.console import Console, RenderableType

from interleaf import DEFAULT_NAMESPACE, DEFAULT_TARGET, TLS, Client, InterleafError, Retry, Timeout
from interleaf.cli._failure import INTERRUPTED, Failure, describe
from interleaf.cli._text import block, json_line

P = ParamSpec("P")
_PANEL = "Connection"
# A person at a terminal would rather hear soon that there is no server.
_RETRY = Retry(attempts=3, first_delay=0.1)
_PIPE_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Shell:
    """What a command works with. Results go to stdout, everything else to stderr."""

    client: Client
    out: Console
    err: Console
    as_json: bool
    server: str

    def show(self, value: Any, picture: Callable[[], RenderableType]) -> None:
        """Prints one result: a line of JSON, or its picture."""
        if self.as_json:
            print(json_line(value), flush=True)
        else:
            self.out.print(picture())

    def show_all(self, values: Iterable[Any], picture: Callable[[list[Any]], RenderableType]) -> None:
        """Prints a list: a line of JSON each as they come, or one picture of all."""
        if self.as_json:
            for value in values:
                print(json_line(value), flush=True)
        else:
            self.out.print(picture(list(values)))

    def say(self, message: RenderableType) -> None:
        """Tells the person, not the program that reads the results."""
        self.err.print(message)


ServerOption = Annotated[
    str,
    typer.Option(envvar="INTERLEAF_SERVER", metavar="HOST:PORT", rich_help_panel=_PANEL, help="The server."),
]
NamespaceOption = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        envvar="INTERLEAF_NAMESPACE",
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="Where the facts live.",
    ),
]
KeyOption = Annotated[
    str,
    typer.Option(
        envvar="INTERLEAF_API_KEY",
        rich_help_panel=_PANEL,
        show_default=False,
        help="Others on this machine can see command lines: better set INTERLEAF_API_KEY.",
    ),
]
TlsOption = Annotated[
    bool,
    typer.Option("--tls", envvar="INTERLEAF_TLS", rich_help_panel=_PANEL, help="Encrypt the connection."),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        envvar="INTERLEAF_CA",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="Trust this PEM file (implies --tls).",
    ),
]
CertificateOption = Annotated[
    Path | None,
    typer.Option(
        envvar="INTERLEAF_CERTIFICATE",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="Show this PEM file to servers that ask for a certificate (with --certificate-key).",
    ),
]
CertificateKeyOption = Annotated[
    Path | None,
    typer.Option(
        envvar="INTERLEAF_CERTIFICATE_KEY", metavar="FILE", rich_help_panel=_PANEL, help="Its private key."
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        envvar="INTERLEAF_TIMEOUT",
        metavar="SECONDS",
        rich_help_panel=_PANEL,
        help="How long a call may take.",
        show_default="30, with the model 300",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print results as JSON, one object a line, for programs.")
]


@dataclass(frozen=True, slots=True)
class Common:
    """The options of every command that talks to a server."""

    server: ServerOption = DEFAULT_TARGET
    namespace: NamespaceOption = DEFAULT_NAMESPACE
    api_key: KeyOption = ""
    tls: TlsOption = False
    ca: CaOption = None
    certificate: CertificateOption = None
    certificate_key: CertificateKeyOption = None
    timeout: TimeoutOption = None
    as_json: JsonOption = False

    def connect(self) -> Client:
        """A client as the options say."""
        files = (self.ca, self.certificate, self.certificate_key)
        tls = TLS.from_files(*files) if self.tls or any(files) else None
        timeout = Timeout() if self.timeout is None else Timeout(self.timeout, self.timeout)
        return Client(
            self.server,
            namespace=self.namespace,
            api_key=self.api_key or None,
            tls=tls,
            timeout=timeout,
            retry=_RETRY,
        )


def console(*, stderr: bool = False) -> Console:
    """A console; what goes into a pipe is not folded to the width of a terminal that is not there."""
    made = Console(stderr=stderr, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def connected(function: Callable[Concatenate[Shell, P], None]) -> Callable[..., None]:
    """Makes a command of a function whose first argument is a `Shell`: adds the common options, connects,
    and turns errors into a sentence and an exit code."""

    def command(**given: Any) -> None:
        common = Common(**{name: given.pop(name) for name in _COMMON})
        with ExitStack() as stack:
            try:
                client = stack.enter_context(common.connect())
                shell = Shell(client, console(), console(stderr=True), common.as_json, common.server)
                function(shell, **given)  # type: ignore[call-arg]
            except BrokenPipeError:
                raise  # whoever read the results has had enough: typer ends the command in silence
            except (InterleafError, OSError, ValueError) as error:
                fail(describe(error, common.server), as_json=common.as_json)
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None

    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    parameters = [p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    command.__signature__ = inspect.Signature([*parameters, *_COMMON.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {}
    command.__name__ = function.__name__
    command.__doc__ = function.__doc__
    return command


def fail(failure: Failure, *, as_json: bool) -> None:
    """Prints an error on stderr and ends the command with its exit code."""
    if as_json:
        print(json.dumps({"error": json.loads(json_line(failure))}), file=sys.stderr)
    else:
        shown = console(stderr=True)
        shown.print(block("Error: " + failure.message, "bold red"))
        if failure.hint:
            shown.print(block(failure.hint, "dim"))
    raise typer.Exit(failure.exit_code)


_COMMON = {
    name: parameter.replace(
        annotation=get_type_hints(Common, include_extras=True)[name], kind=inspect.Parameter.KEYWORD_ONLY
    )
    for name, parameter in inspect.signature(Common).parameters.items()
}
