"""Load one plugin, its extensions and the core's answers, and call their hooks. Installed is not loaded.

Whatever goes wrong in a plugin's code comes back as one error that names the plugin, its distribution and the cause.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy

from diffx.config import RunConfig
from diffx.errors import DiffxError, ExtraError, PluginError, UsageError, did_you_mean, in_one_line
from diffx.plugins import hookspecs
from diffx.plugins.registry import Found, core, find, install_hint, manifest_of, missing_requirements

Task = Callable[[Any], None]


class Plugins:
    """One plugin, then its extensions, then the core's answers, in the order in which they are asked.

    Loading imports the plugins' modules; the core's (which need torch) follow at the first hook that may need them.
    """

    def __init__(self, name: str, extensions: Sequence[str] = (), *, core: Found | None = None) -> None:
        self.names = [name, *(e for e in extensions if e != name)]
        self._core = core
        self._sources: dict[str, Any] = {}
        for one in self.names:
            found = find(one)
            self._sources[one] = _guarded(load_module(found), found)
        self._manager: pluggy.PluginManager | None = None

    def call(self, hook: str, **arguments: Any) -> Any:
        """The answer to a hook that has one: the plugin's, else an extension's, else the core's.

        Raises PluginError where nobody answers.
        """
        answer = getattr(self._all().hook, hook)(**arguments)
        if answer is None:
            raise PluginError(f"{find(self.names[0]).label} does not answer {hook}, and neither does the core")
        return answer

    def collect(self, hook: str, **arguments: Any) -> list[Any]:
        """The answers of everybody to a hook that all may answer; the plugin's first."""
        return getattr(self._all().hook, hook)(**arguments)

    def table(self, hook: str, **arguments: Any) -> dict[str, Any]:
        """The mappings that a collected hook returns as one; of one name, the plugin's before the core's."""
        merged: dict[str, Any] = {}
        for answer in reversed(self.collect(hook, **arguments)):
            merged.update(answer)
        return merged

    def named(self, hook: str, key: str, name: str) -> Any:
        """The entry of `table(hook)` that the option `key` names. Raises UsageError for a name nobody brings."""
        table = self.table(hook)
        if name not in table:
            known = ", ".join(table)
            raise UsageError(f"{key}={name}: unknown{did_you_mean(name, table)} (known: {known})")
        return table[name]

    def notify(self, hook: str, **arguments: Any) -> list[DiffxError]:
        """Tell everybody, whoever fails; the failures."""
        failures: list[DiffxError] = []
        for name in self.names:
            try:
                self._only(name, hook, arguments)
            except DiffxError as error:
                failures.append(error)
        return failures

    def _only(self, name: str, hook: str, arguments: dict[str, Any]) -> Any:
        """One source's answer, of the arguments that it asks for; None where it has no such hook."""
        function = getattr(self._sources[name], hook, None)
        if function is None:
            return None
        return function(**{key: arguments[key] for key in inspect.signature(function).parameters})

    def own(self, hook: str, **arguments: Any) -> dict[str, Any]:
        """The mapping that the plugin itself returns; empty where it has no such hook."""
        return dict(self._only(self.names[0], hook, arguments) or {})

    def task(self, name: str) -> Task:
        """The function of a task: the one that the manifest names, else the core's. Imports no other task's module.

        Raises PluginError where neither has it, ExtraError where its module lacks what the plugin requires.
        """
        found, answers = find(self.names[0]), self._core or core()
        own, usual = manifest_of(found).tasks, manifest_of(answers).tasks
        if name in own and own[name].run:
            return function_of(found, own[name].run)
        former = self.former_tasks()
        if name in former:
            return former[name]
        if name in usual:
            return function_of(answers, usual[name].run)
        hint = did_you_mean(name, former) or f"; without one it has to be a task of the core: {', '.join(usual)}"
        raise PluginError(f"{found.label}: its manifest names a task {name!r} and no function (run:){hint}")

    def own_tasks(self) -> set[str]:
        """The names of the tasks that the plugin brings itself."""
        rows = manifest_of(find(self.names[0])).tasks
        return {name for name, row in rows.items() if row.run} | set(self.own("diffx_tasks"))

    def former_tasks(self) -> dict[str, Task]:
        """What the hook `diffx_tasks` brings, the plugin's before its extensions'; accepted until API 2."""
        merged: dict[str, Task] = {}
        for name in reversed(self.names):
            merged.update(self._only(name, "diffx_tasks", {}) or {})
        return merged

    def has(self, hook: str) -> bool:
        """Whether the plugin itself has the hook."""
        return hasattr(self._sources[self.names[0]], hook)

    def config(self) -> type[RunConfig]:
        """What the plugin's `diffx_config` returns; asks nobody else, so it needs no torch."""
        if not self.has("diffx_config"):
            label = find(self.names[0]).label
            if is_extension(find(self.names[0])):
                raise UsageError(f"{label} is an extension: name it in extensions= of another plugin's run")
            raise PluginError(f"{label} has no hook diffx_config, and its manifest no field config")
        return _checked_config(self._sources[self.names[0]].diffx_config(), find(self.names[0]))

    def _all(self) -> pluggy.PluginManager:
        if self._manager is None:
            manager = pluggy.PluginManager("diffx")
            manager.add_hookspecs(hookspecs)
            # The last one registered is asked first.
            answers = self._core or core()
            manager.register(_import(manifest_of(answers).module, answers), name=answers.name)
            for name in reversed(self.names):
                manager.register(self._sources[name], name=name)
            self._manager = manager
        return self._manager


@functools.cache
def load(name: str, extensions: tuple[str, ...] = ()) -> Plugins:
    """`Plugins(name, extensions)`, once in a process. Raises PluginError, ExtraError."""
    return Plugins(name, extensions)


def plugins_of(cfg: RunConfig) -> Plugins:
    """The plugin and the extensions that a configuration names, loaded once in a process."""
    return load(cfg.plugin, tuple(cfg.extensions))


def require_extra(found: Found) -> None:
    """Raises ExtraError, with the command that helps, where a plugin's requirements are not installed."""
    missing = missing_requirements(manifest_of(found))
    if missing:
        raise ExtraError(f"{found.label} needs {', '.join(missing)}: {install_hint(found)}")


def is_extension(found: Found) -> bool:
    """Whether a plugin only adds to others: its manifest names neither tasks nor a configuration."""
    manifest = manifest_of(found)
    return not (manifest.tasks or manifest.config)


def config_type(found: Found) -> type[RunConfig]:
    """The class of a plugin's options: from the manifest's `config`, else from its hook. Raises PluginError."""
    manifest = manifest_of(found)
    if not manifest.config:
        return load(found.name).config()
    module, _, name = manifest.config.partition(":")
    return _checked_config(getattr(_import(module, found), name, None), found)


def function_of(found: Found, reference: str) -> Callable[..., Any]:
    """The function "package.module:function" that a manifest names. Raises PluginError, ExtraError."""
    module, _, name = reference.partition(":")
    functions = vars(_import(module, found))
    if not callable(functions.get(name)):
        raise PluginError(
            f"{found.label}: its manifest names {reference}, but {module} has no function {name}"
            f"{did_you_mean(name, [n for n, value in functions.items() if callable(value)])}"
        )
    return functions[name]


def check_own_inputs(found: Found, cfg: RunConfig) -> None:
    """Call the plugin's own check of what a run names, `check` of its manifest, if it has one.

    Raises whatever DiffxError that raises; PluginError where it fails in another way.
    """
    reference = manifest_of(found).check
    if reference:
        _guard(function_of(found, reference), found)(cfg)


def load_module(found: Found) -> ModuleType:
    """Import a plugin's module of hooks and check them. Raises ExtraError for its requirements, PluginError else."""
    require_extra(found)
    module = _import(manifest_of(found).module, found)
    wrong = hook_problems(module)
    if wrong:
        raise PluginError("\n".join(f"{found.label}: {line}" for line in wrong))
    return module


def hook_problems(module: ModuleType) -> list[str]:
    """One line for each function named diffx_* that is no hook, is not marked, or asks for arguments no hook has."""
    wrong = []
    for name, function in vars(module).items():
        if not (name.startswith("diffx_") and inspect.isfunction(function)):
            continue
        marked = hasattr(function, "diffx_impl")
        if name not in hookspecs.HOOKS:
            if marked or function.__module__ == module.__name__:
                wrong.append(f"unknown hook {name}{did_you_mean(name, hookspecs.HOOKS)}")
            continue
        if not marked:
            wrong.append(f"{name} is not marked with @diffx.hookimpl")
            continue
        has = list(inspect.signature(hookspecs.HOOKS[name]).parameters)
        for argument in inspect.signature(function).parameters:
            if argument not in has:
                wrong.append(f"{name} asks for {argument!r}; the hook is {name}({', '.join(has)})")
    return wrong


def _checked_config(config: Any, found: Found) -> type[RunConfig]:
    if not (isinstance(config, type) and issubclass(config, RunConfig)):
        raise PluginError(f"{found.label}: its configuration is {config!r}, not a class that inherits diffx.RunConfig")
    return config


def _import(module: str, found: Found) -> ModuleType:
    try:
        return importlib.import_module(module)
    except DiffxError:
        raise
    except (ImportError, OSError) as error:
        culprit = _culprit(error, manifest_of(found).requires)
        if culprit:
            why = f"{culprit} is installed but does not load ({in_one_line(error)})"
            raise ExtraError(f"{found.label}: {why}: {install_hint(found)}") from error
        raise PluginError(f"{found.label} does not import: {in_one_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise PluginError(f"{found.label} does not import: {in_one_line(error)}") from error


def _culprit(error: ImportError | OSError, requires: Sequence[str]) -> str:
    """Which of the required packages an import failed in or for; "" where it was none of them."""
    tops = {name.partition(".")[0] for name in requires}
    named = (getattr(error, "name", None) or "").partition(".")[0]
    if named in tops:
        return named
    frame = error.__traceback__
    while frame is not None:  # a broken shared library is an OSError without a name, raised in the package's own code
        top = str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if top in tops:
            return top
        frame = frame.tb_next
    return ""


def _guarded(module: ModuleType, found: Found) -> SimpleNamespace:
    """The module's hooks, each of which names its plugin when it fails."""
    hooks = {n: f for n, f in vars(module).items() if n in hookspecs.HOOKS and hasattr(f, "diffx_impl")}
    return SimpleNamespace(**{name: _guard(function, found) for name, function in hooks.items()})


def _guard(function: Callable[..., Any], found: Found) -> Callable[..., Any]:
    @functools.wraps(function)  # keeps the mark and the signature that pluggy reads
    def guarded(*arguments: Any, **keywords: Any) -> Any:
        try:
            answer = function(*arguments, **keywords)
        except DiffxError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{found.label} failed in {function.__name__}: {in_one_line(error)}") from error
        if answer is not None and not isinstance(answer, Mapping) and function.__name__ in hookspecs.MAPPINGS:
            what = f"returned a {type(answer).__name__}, not a mapping of names"
            raise PluginError(f"{found.label}: {function.__name__} {what}")
        return answer

    return guarded
