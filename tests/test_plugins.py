"""Strangers' plugins, whole and broken: each is told from the others, named with its cause, and harms nobody."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from conftest import MANIFEST, PLUGIN, Strangers

from diffx import hookspecs

DOCS = Path(__file__).parents[1] / "docs" / "plugins.md"


def manifest(name: str, old: str = "", new: str = "") -> str:
    text = MANIFEST.format(name=name)
    assert old in text
    return text.replace(old, new)


BROKEN = {
    "api": ({"manifest": manifest("api", "api: 1.0", "api: 2.0")}, "made for plugin API 2.0, this diffx has 1.0"),
    "field": (
        {"manifest": manifest("field", "summary:", "sumary:")},
        "bad manifest: unknown field 'sumary'; did you mean 'summary'?; summary is missing",
    ),
    "syntax": ({"manifest": "plugins: [\n"}, "diffx.yaml:2: "),
    "row": ({"manifest": manifest("row", "  row:", "  other:")}, "no row 'plugins: row:'"),
    "module": (
        {"manifest": manifest("module", ".plugin\n", ".plug\n")},
        "module 'stranger_module.plug' is not the entry",
    ),
    "task": (
        {"manifest": manifest("task", "default_task: greet", "default_task: gret")},
        "'gret' is not one of its tasks",
    ),
    "shape": ({"manifest": "plugins: {shape: [1, 2]}\n"}, "bad manifest: shape: expected a mapping"),
}


def test_broken_metadata_is_reported_and_harms_nobody(strangers: Strangers) -> None:
    for name, (files, _) in BROKEN.items():
        strangers.add(name, **files)
    strangers.add("nofile")
    (strangers.folder / "stranger_nofile/diffx.yaml").unlink()
    strangers.add("well")
    damaged = strangers.folder / "damaged-1.0.dist-info"  # not even its entry points parse
    damaged.mkdir()
    (damaged / "METADATA").write_text("Name: damaged\nVersion: 1.0\n")
    (damaged / "entry_points.txt").write_text("[diffx]\nthis is no entry point\n")

    listed = strangers.diffx("plugins", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    found = {row["name"]: row for row in json.loads(listed.stdout)}
    assert {name for name, row in found.items() if row["usable"]} >= {"well"}
    for name, (_, cause) in {**BROKEN, "nofile": ({}, "no diffx.yaml in the folder of its package")}.items():
        assert cause in found[name]["state"], found[name]
        assert (found[name]["distribution"], found[name]["version"]) == (f"stranger-{name}", "1.2")
        ran = strangers.diffx("run", f"plugin={name}")
        assert ran.returncode == 3
        assert ran.stderr.startswith(f"diffx: error: plugin '{name}' (stranger-{name} 1.2): ") and cause in ran.stderr
    assert strangers.diffx("config", "show", "plugin=well").returncode == 0


@pytest.mark.parametrize(
    "code, cause",
    [
        ("import nowhere_to_be_found", "does not import: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("1 / 0", "does not import: ZeroDivisionError: division by zero"),
        ("def f(:", "does not import: SyntaxError: "),
        (
            PLUGIN.format(name="bad").replace("diffx_data(", "diffx_datta("),
            "unknown hook diffx_datta; did you mean 'diffx_data'?",
        ),
        (
            PLUGIN.format(name="bad").replace("cfg, split", "config, split"),
            "diffx_data asks for 'config'; the hook is diffx_data(cfg, split)",
        ),
        (
            PLUGIN.format(name="bad").replace("@diffx.hookimpl\ndef diffx_data", "def diffx_data"),
            "diffx_data is not marked with @diffx.hookimpl",
        ),
    ],
)
def test_a_plugin_broken_at_import(strangers: Strangers, code: str, cause: str) -> None:
    strangers.add("bad", plugin=code)
    strangers.add("well")
    assert strangers.diffx("plugins").returncode == 0  # listing imports nobody
    for words in (["run", "plugin=bad"], ["plugins", "check", "bad"]):
        done = strangers.diffx(*words)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 3
        assert line.startswith("diffx: error: plugin 'bad' (stranger-bad 1.2)") and cause in line
    assert strangers.diffx("config", "show", "plugin=well").returncode == 0


def test_a_hook_that_raises_names_its_plugin(strangers: Strangers) -> None:
    raising = PLUGIN.format(name="bad").replace('return {"greet": greet}', "raise KeyError('greet')")
    strangers.add("bad", plugin=raising)
    strangers.add("well")
    done = strangers.diffx("run", "plugin=bad", "--traceback")
    assert done.returncode == 3
    *trace, line = done.stderr.splitlines()
    assert line == "diffx: error: plugin 'bad' (stranger-bad 1.2) failed in diffx_tasks: KeyError: 'greet'"
    assert any(re.search(r"stranger_bad/plugin.py.*in diffx_tasks", one) for one in trace)

    # and as somebody's extension it is named too, and installed without being asked for it does nothing
    done = strangers.diffx("run", "plugin=well", "extensions=bad")
    assert done.returncode == 3 and "plugin 'bad' (stranger-bad 1.2) failed in diffx_tasks" in done.stderr


def test_a_run_with_an_extension(strangers: Strangers, tmp_path: Path) -> None:
    strangers.add("one")
    strangers.add(
        "two",
        plugin="""
            import diffx

            @diffx.hookimpl
            def diffx_data(cfg, split):
                return "of the extension"

            @diffx.hookimpl
            def diffx_tasks():
                return {"greet": None}

            @diffx.hookimpl
            def diffx_finish(run, error):
                run.log(f"finished with {error}")
        """,
    )
    strangers.add("three", plugin="raise SystemExit('installed is not loaded')")
    done = strangers.diffx("run", "plugin=one", "extensions=two", "size=2", f"out={tmp_path}/out")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == {"size": 2.0}  # the plugin's task, not the other
    assert "finished with None" in (tmp_path / "out/log.txt").read_text()


def test_weights_trained_with_an_extension_are_restored_with_it(strangers: Strangers, tmp_path: Path) -> None:
    strangers.add("one")
    strangers.add(
        "two",
        plugin="""
            import diffx
            from diffx.process import SCHEDULES

            @diffx.hookimpl
            def diffx_schedules():
                return {"mine": SCHEDULES["cosine"]}
        """,
    )
    code = """if True:
        import sys
        from dataclasses import replace
        from pathlib import Path
        from diffx import checkpoint, plugins
        from diffx.build import build, describe, restore
        from diffx.config import resolve
        from diffx.spec import Spec
        from stranger_one.config import Config
        options = ["plugin=one", "extensions=two", "process.schedule=mine", "net.channels=8", "net.attention=[]"]
        cfg, spec = resolve(Config, overrides=options), Spec((1, 8))
        both = plugins.load("one", ("two",))
        model, _ = build(both, cfg, spec)
        path = Path(sys.argv[1])
        checkpoint.save(path, {f"model.{k}": v for k, v in model.state_dict().items()}, describe(cfg, spec))
        print(restore(both, Config, path)[2].extensions)
    """
    done = strangers.python("-c", code, str(tmp_path / "w.safetensors"))
    assert done.stdout == "['two']\n", done.stderr


def test_the_order_in_which_they_are_asked(strangers: Strangers) -> None:
    samplers = "import diffx\n@diffx.hookimpl\ndef diffx_samplers():\n    return {{'s': '{0}', '{0}': '{0}'}}\n"
    write = "@diffx.hookimpl\ndef diffx_write(cfg, folder):\n    return {}\n"
    strangers.add("one", plugin=samplers.format("one") + write.format("None"))
    strangers.add("two", plugin=samplers.format("two") + write.format("['two']"))
    (strangers.folder / "core_answers.py").write_text(samplers.format("core") + write.format("['core']"))
    code = """if True:
        import json
        from diffx.plugins import Plugins
        from diffx.errors import PluginError
        alone, both = Plugins("one", defaults="core_answers"), Plugins("one", ["two"], defaults="core_answers")
        try:
            alone.call("diffx_data", cfg=None, split="train")
        except PluginError as error:
            nobody = str(error)
        arguments = dict(cfg=None, samples=None, folder=None)
        print(json.dumps([alone.table("diffx_samplers"), both.table("diffx_samplers"),
                          alone.call("diffx_write", **arguments), both.call("diffx_write", **arguments), nobody]))
    """
    done = strangers.python("-c", code)
    assert json.loads(done.stdout or "[]") == [
        {"s": "one", "one": "one", "core": "core"},
        {"s": "one", "one": "one", "two": "two", "core": "core"},
        ["core"],
        ["two"],
        "plugin 'one' (stranger-one 1.2) does not answer diffx_data, and neither does the core",
    ], done.stderr


def test_check_finds_what_an_author_should_know(strangers: Strangers) -> None:
    strangers.add("heavy", config="import numpy\nfrom stranger_well.config import *\n")
    strangers.add("well")
    strangers.add("preset", manifest=manifest("preset", "size: 9", "size: 99, sise: 1"))
    default = "from dataclasses import dataclass\nimport diffx\n@dataclass\nclass Config(diffx.RunConfig):\n"
    strangers.add("default", config=default + "    size: float = diffx.option(-1.0, help='how big', min=0)\n")
    strangers.add("config", config="Config = dict\n")
    lacking = PLUGIN.format(name="must").replace("@diffx.hookimpl\ndef diffx_data", "def other")
    strangers.add("must", plugin=lacking.replace('{"greet"', '{"gret"'))
    cases = {
        "heavy": [
            "importing stranger_heavy.config:Config imports numpy: every `--help` and every typo would wait for it"
        ],
        "preset": [
            "preset big: size=99: expected a number from 0 to 10 (mm)",
            "preset big: sise=1: unknown option; did you mean 'size'?",
        ],
        "default": ["the default size=-1.0 is not allowed: expected a number, at least 0"],
        "config": ["not a class that inherits diffx.RunConfig"],
        "must": [
            "does not answer diffx_data",
            "its manifest names a task 'greet' that its code does not have",
            "its code has a task 'gret' that its manifest does not name",
        ],
    }
    for name, causes in cases.items():
        done = strangers.diffx("plugins", "check", name)
        said = done.stderr.splitlines()
        assert done.returncode == 3 and len(said) >= len(causes), done
        for line, cause in zip(said, causes):
            assert line.startswith(f"diffx: error: plugin {name!r} (stranger-{name} 1.2)") and cause in line, said


def test_a_plugin_that_kills_its_process_is_told_from_one_that_fails(strangers: Strangers) -> None:
    strangers.add("deadly", plugin="import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    done = strangers.diffx("plugins", "check", "deadly")
    assert done.returncode == 3
    assert (
        done.stderr.splitlines()[-1] == "diffx: error: plugin 'deadly' ended the process that imported it (signal 11)"
    )


def test_two_plugins_of_one_name(strangers: Strangers) -> None:
    strangers.add("mri_synth")  # a stranger takes the name of one of ours
    strangers.add("twin")
    other = strangers.folder / "other_twin-0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other-twin\nVersion: 0.1\n")
    (other / "entry_points.txt").write_text("[diffx]\ntwin = stranger_twin.plugin\n")
    found = {row["name"]: row for row in json.loads(strangers.diffx("plugins", "list", "--json").stdout)}
    assert found["mri_synth"]["distribution"] == "diffx-suite" and found["mri_synth"]["usable"]
    assert re.search(
        r"(other|stranger)-twin and (other|stranger)-twin both call a plugin 'twin'", found["twin"]["state"]
    )


def test_a_hook_may_say_in_its_own_words_what_is_wrong(strangers: Strangers) -> None:
    saying = PLUGIN.format(name="bad").replace('return {"greet": greet}', "raise diffx.DataError('scan.nii: empty')")
    strangers.add("bad", plugin=saying)
    done = strangers.diffx("run", "plugin=bad")
    assert (done.returncode, done.stderr) == (5, "diffx: error: scan.nii: empty\n")


@pytest.mark.parametrize("name", sorted(hookspecs.HOOKS))
def test_each_hook_stands_in_the_docs_with_its_signature(name: str) -> None:
    arguments = ", ".join(inspect.signature(hookspecs.HOOKS[name]).parameters)
    documentation = DOCS.read_text(encoding="utf-8")
    assert f"`{name}({arguments})`" in documentation
    first = (inspect.getdoc(hookspecs.HOOKS[name]) or "").partition("\n")[0]
    assert first in documentation, f"docs/plugins.md does not say what the docstring says: {first}"


def test_the_docs_name_no_hook_that_is_gone() -> None:
    assert set(re.findall(r"`(diffx_\w+)\(", DOCS.read_text(encoding="utf-8"))) == set(hookspecs.HOOKS)
