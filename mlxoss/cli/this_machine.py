"""The service on this machine: what every command about it starts from."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlxoss import paths
from mlxoss.api_key_file import read_local_token
from mlxoss.config import (
    ENV_PREFIX,
    Config,
    ConfigFile,
    find_address,
    find_config_file,
    load_config,
)
from mlxoss.daemon.supervised import SERVICE_LOG, default_log
from mlxoss.errors import MlxossError, ServiceError
from mlxoss.findings import Check
from mlxoss.last_exit import LastExit, read_last_exit
from mlxoss.service.choose import choose_supervisor
from mlxoss.service.guarded import check_folders
from mlxoss.service.health import Health, probe
from mlxoss.service.manager import Manager, read_definition
from mlxoss.service.program import Program, find_program, stable_program
from mlxoss.service.ready import ServiceNotReady, ServiceReady, wait_ready
from mlxoss.service.spec import INHERITED, ServiceSpec, make_environment

_WHERE_MODELS_ARE = ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")
_OURS = ("MLXOSS_HOME", "MLXOSS_CONFIG")


@dataclass(frozen=True, slots=True)
class Machine:
    """The service, and the folders and settings that it goes by.

    ``env`` is what the service's own environment says of folders and settings: that of the
    installed definition, or of this shell as far as installing would copy it. So a command
    looks where the daemon looks, whatever the shell says today.
    """

    manager: Manager
    env: Mapping[str, str]

    @property
    def state(self) -> Path:
        """The folder of the lock and the last exit's reason."""
        return paths.data_dir(self.env)

    @property
    def config_file(self) -> ConfigFile:
        """The configuration file that the daemon reads."""
        return find_config_file(None, self.env, paths.config_file(self.env))

    def config(self, flags: Mapping[str, object] | None = None) -> Config:
        """The daemon's settings, with ``flags`` over them. Raises ``ConfigError``."""
        return load_config(flags or {}, self.env, self.config_file)

    def address(self) -> Config:
        """The daemon's address, also while its settings cannot be read."""
        return find_address(self.env, self.config_file)

    def log(self) -> Path:
        """Where the daemon logs (the usual place while its settings cannot be read)."""
        try:
            chosen = self.config().log_file
        except MlxossError:
            chosen = None
        return chosen or default_log(paths.log_dir(self.env))

    def service_log(self) -> Path:
        """What the service manager writes for it."""
        return paths.log_dir(self.env) / SERVICE_LOG

    def last_exit(self) -> LastExit | None:
        """Why the daemon last ended on its own."""
        return read_last_exit(self.state)

    def ask(self, config: Config, timeout_s: float = 0.15) -> Health:
        """Ask the daemon how it is."""
        return ask_daemon(config, self.state, timeout_s)

    def wait_ready(self, config: Config, limit_s: float = 60.0) -> ServiceReady | ServiceNotReady:
        """Wait until the service answers or will not."""
        return wait_ready(
            self.manager.supervisor.query,
            lambda: self.ask(config, 1.0),
            self.last_exit,
            limit_s=limit_s,
        )


def ask_daemon(config: Config, state: Path, timeout_s: float) -> Health:
    """Ask the daemon of these settings how it is, by the token in the folder ``state``."""
    return probe(
        config.host,
        config.port,
        timeout_s=timeout_s,
        token=read_local_token(state),
        certificate=config.tls_cert,
    )


def this_machine() -> Machine:
    """Return the service of this user; raises ``ServiceError`` where there can be none."""
    supervisor = choose_supervisor(sys.platform, os.environ, os.getuid(), Path.home())
    definition = read_definition(supervisor)
    if definition:
        env = dict(definition.environment)
    else:
        env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return Machine(Manager(supervisor, paths.data_dir(env)), env)


def installed_machine() -> Machine | None:
    """This machine, if the service is installed on it."""
    try:
        machine = this_machine()
    except ServiceError:
        return None
    return None if machine.manager.definition() is None else machine


def command_env() -> Mapping[str, str]:
    """The variables by which a command about the server finds its settings, keys and models.

    Those of this process, but the installed service's where they say where folders are: a shell
    has some of these (``XDG_CONFIG_HOME``, ``HF_HOME``) for other programs' sake, which a service
    manager does not pass on. A shell that names our own folder means that one, and so does one
    where no service is installed.
    """
    if any(os.environ.get(name) for name in _OURS):
        return os.environ
    machine = installed_machine()
    if machine is None:
        return os.environ
    here = {name: text for name, text in os.environ.items() if name not in paths.FOLDER_VARIABLES}
    own = {
        name: text
        for name, text in machine.env.items()
        if name in paths.FOLDER_VARIABLES or name.startswith(ENV_PREFIX)
    }
    return {**own, **here}


def closed_folders(machine: Machine, config: Config) -> list[Check]:
    """What of its files launchd or the daemon may not read; none under another manager."""
    if machine.manager.supervisor.name != "launchd":
        return []
    return list(check_folders(config, machine.env, Path.home()))


def look_where_it_looks(env: Mapping[str, str]) -> None:
    """Have this process find models where ``env`` says, whatever the shell says today.

    huggingface_hub reads these variables once, when it is imported: call this before.
    """
    for name in _WHERE_MODELS_ARE:
        if name in env:
            os.environ[name] = env[name]
        else:
            os.environ.pop(name, None)


def this_program() -> Program:
    """Return the path that the service is to run; raises ``ServiceError`` if there is none."""
    return stable_program(find_program(sys.argv[0]), Path.home())


def make_spec(
    program: Path, kept: Mapping[str, str], chosen: Mapping[str, str] | None = None
) -> ServiceSpec:
    """Return the service as installing it now would define it."""
    environment = make_environment(program, os.environ, kept=kept, chosen=chosen or {})
    return ServiceSpec(
        program=program,
        working_directory=paths.data_dir(environment),
        log_file=paths.log_dir(environment) / SERVICE_LOG,
        environment=environment,
    )
